"""A city may choose to forget: not before two years, and never without having summed up."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.nightly import tidy
from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import open_lab, open_recorder
from livinglab.config import Settings, city_from
from livinglab.domain.ledger import Tally
from livinglab.errors import SettingsError
from livinglab.ports import Message

TOWN = {"city": {"key": "town", "name": "Town"}}


def test_what_is_older_than_the_city_keeps_is_dropped_at_night(tmp_path: Path):
    """Two years later the first month is gone, the second is not; what comes late is refused."""
    city = city_from(TOWN | {"retention": {"months": 24}}, "town.toml")
    clock = SettableClock(datetime(2026, 1, 15, tzinfo=UTC))
    lab = open_lab(Settings(data=tmp_path, civic="memory:"), city=city, clock=clock)
    message = Message(b"lab/t1/temperature", b"21.5", 0x32, 4)
    open_recorder(lab).record([message])
    clock.advance_to(datetime(2026, 2, 15, tzinfo=UTC))
    open_recorder(lab).record([message])
    before = lab.readings.count()

    clock.advance_to(datetime(2028, 2, 20, tzinfo=UTC))
    tidy(lab)
    old = b'{"v": 1, "t": "2026-01-31T23:59:59Z"}'
    open_recorder(lab).record([Message(b"lab/t1/temperature", old, 0x32, len(old))])
    total = Tally()
    with lab.work(write=False) as work:
        reasons = [one.reason for one in work.quarantine.page()]
        for line in work.ledger.lines():
            total.add(line.tally)

    assert (2, 1) == (before, lab.readings.count())
    assert ["too_old"] == reasons
    assert 0 == total.unaccounted
    lab.close()


@pytest.mark.parametrize("months", [23, 0, "24", 24.5])
def test_no_city_forgets_within_two_years(months):
    """What an Initiative changed could not be told from the seasons any more."""
    with pytest.raises(SettingsError, match="months"):
        city_from(TOWN | {"retention": {"months": months}}, "town.toml")
