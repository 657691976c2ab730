"""Replaying: what was refused gets another try after a fix, with its first arrival time."""

from dataclasses import dataclass

from livinglab.domain.ledger import Quarantined, QuarantineState
from livinglab.domain.readings import to_ms
from livinglab.ports import Message, UnitOfWork
from livinglab.services.recording import Recorder

PAGE = 500


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What came of a replay."""

    tried: int = 0
    healed: int = 0
    """Messages that are refused for nothing any more."""
    readings: int = 0
    """Readings that the healed messages hold, stored now or before."""
    refused: int = 0


def replay(
    recorder: Recorder,
    *,
    reason: str | None = None,
    route: str | None = None,
    dry_run: bool = False,
) -> Replayed:
    """Run the present decoders over what waits in quarantine.

    A message that is read now is stored like any other (what it brought before comes out as
    duplicate) and leaves the quarantine; one that still fails stays, told once more why.

    Raises:
        StoreUnavailableError: Some were replayed; the rest waits as before.
    """
    found = Replayed()
    after = 0
    while True:
        with recorder.civic.work(write=False) as work:
            page = work.quarantine.page(reason=reason, route=route, after=after, limit=PAGE)
        if not page:
            return found
        for one in page:
            _replay_one(recorder, one, found, dry_run=dry_run)
        after = page[-1].number or after


def _replay_one(recorder: Recorder, one: Quarantined, found: Replayed, *, dry_run: bool) -> None:
    found.tried += 1
    message = Message(one.topic, one.payload, one.header & ~1, one.size)
    recorder.registry.refresh()
    intake = recorder.decode([message], received_ms=to_ms(one.first_seen))
    appended = None if dry_run else recorder.complete(intake)
    still = bool(intake.refused or (appended and appended.refused))
    found.refused += still
    found.healed += not still
    if still:
        return
    found.readings += len(intake.batch)
    if not dry_run:
        with recorder.civic.work() as work:
            kept = work.quarantine.get(one.number or 0)
            if kept is not None:
                kept.state = QuarantineState.REPLAYED


def drop(work: UnitOfWork, *, reason: str | None = None, route: str | None = None) -> int:
    """Give up on what waits, keeping its bytes; return how many messages that were."""
    dropped, after = 0, 0
    while page := work.quarantine.page(reason=reason, route=route, after=after, limit=PAGE):
        after = page[-1].number or after
        for one in page:
            one.state = QuarantineState.DROPPED
        dropped += len(page)
    return dropped
