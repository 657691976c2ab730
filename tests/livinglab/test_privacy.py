"""What may be public, and how precisely."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.geometry import Point, distance_m
from livinglab.domain.privacy import Precision, PrivacyRule, public_count, public_point

DOOR = Point(-3.8012345678, 43.4623456789)


def test_street_furniture_is_shown_to_the_metre():
    """Five decimals are about a metre: enough for a lamp post."""
    found = public_point(DOOR, PrivacyRule(precision=Precision.EXACT))

    assert Point(-3.80123, 43.46235) == found


def test_a_cell_hides_the_door():
    """Two neighbours share one public point; it is neither's."""
    rule = PrivacyRule(cell_m=250)
    found = [public_point(Point(DOOR.lon + d, DOOR.lat), rule) for d in (0, 1e-4)]

    assert found[0] == found[1]
    assert found[0] is not None
    assert 10 < distance_m(DOOR, found[0]) < 250


@pytest.mark.parametrize("precision", list(Precision))
def test_a_personal_theme_has_no_public_point(precision):
    """However precise the category would be otherwise."""
    assert public_point(DOOR, PrivacyRule(precision=precision, personal=True)) is None


def test_a_zone_theme_has_no_public_point():
    """Only the Zone is told."""
    assert public_point(DOOR, PrivacyRule(precision=Precision.ZONE)) is None


def test_personal_themes_need_ten_people_and_others_five():
    """The k of the rule."""
    assert (10, 5) == (PrivacyRule(personal=True).k, PrivacyRule().k)


def test_people_are_counted_and_not_postings():
    """A thousand postings of four people stay hidden; five postings of five people do not."""
    assert public_count(1_000, 4, k=5).suppressed
    assert (5, 5) == (public_count(5, 5, k=5).n, public_count(5, 5, k=5).contributors)


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([5, 10]))
def test_published_counts_are_round_and_near(n, contributors, k):
    """Multiples of five, at most two and a half off, or nothing at all."""
    found = public_count(n, contributors, k=k)

    assert found.suppressed == (contributors < k)
    if found.n is not None:
        assert found.n % 5 == 0
        assert abs(found.n - n) <= 2.5
