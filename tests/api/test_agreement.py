"""What citizens say and what is measured, told under the public rules."""

from datetime import UTC, datetime

from livinglab.domain.indicators import AgreementFound

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_agreement_is_told_by_place_and_zone(client, lab):
    """A personal theme is told for the Zone only."""
    with lab.work() as work:
        for subject in ("place:square", "zone:centre"):
            for category, observed_property in (("air", "no2"), ("noise", "noise_level")):
                work.initiatives.note_agreement(
                    AgreementFound(
                        subject=subject,
                        category=category,
                        observed_property=observed_property,
                        computed_at=NOW,
                        document={"finding": "none_shown"},
                    )
                )

    told = client.get("/places/square/agreement").json()["items"]

    assert [("square", None, "air"), (None, "centre", "air"), (None, "centre", "noise")] == [
        (one.get("place"), one.get("zone"), one["category"]) for one in told
    ]
    assert 404 == client.get("/places/moon/agreement").status_code
