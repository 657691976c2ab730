"""Collecting: reports of other systems become Observations, each once, however often they come."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from uuid import NAMESPACE_URL, uuid5

from livinglab.domain.contributors import Contributor
from livinglab.domain.geometry import Point
from livinglab.domain.observations import (
    Category,
    Channel,
    ObservationKind,
    Status,
    StatusEvent,
    Visibility,
)
from livinglab.errors import InvalidError, UnreadableInputError
from livinglab.ports import CivicStore, Posting, UnitOfWork
from livinglab.services import linking
from livinglab.services.grounding import LoadedGround
from livinglab.services.observing import Draft, People, compose
from livinglab.wire.projecting import to_points
from livinglab.wire.reports import Refused, Report, ReportLayout, read_reports

BATCH = 1_000
"""Reports that are committed together, unless somebody says otherwise."""
SHOWN = 20
"""Refused rows that are named, of each reason."""

Progress = Callable[[int], None]


@dataclass(slots=True)
class Collected:
    """What became of the rows of a file."""

    rows: int = 0
    stored: int = 0
    duplicate: int = 0
    """Known already, by source and id."""
    refused: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[int]] = field(default_factory=dict)
    """Reason → the first lines that were refused for it."""

    def refuse(self, reason: str, line: int) -> None:
        """Count a row that is none."""
        self.refused[reason] += 1
        shown = self.lines.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append(line)


def collect(
    file: io.TextIOBase,
    layout: ReportLayout,
    *,
    civic: CivicStore,
    categories: Mapping[str, Category],
    now: datetime,
    keep: bool = True,
    at_once: int = BATCH,
    progress: Progress = lambda _: None,
) -> Collected:
    """Import a file of reports; it may be stopped anywhere, and be imported again.

    Args:
        file: Text.
        layout: How it is read, with the zone of times that name none.
        civic: Where Observations are kept.
        categories: The city's themes; a report names one by key or label.
        now: When they are received.
        keep: Whether anything is kept; if not, this tells what would be.
        at_once: How many are committed together.
        progress: Told how many rows are done, batch by batch.

    Raises:
        UnreadableInputError: It is no such file.
        StoreUnavailableError: What was committed stays; import it again.
    """
    found = Collected()
    named = {one.label: one for one in categories.values()} | dict(categories)
    rows = iter(read_reports(file, layout))
    ground: LoadedGround | None = None
    while batch := list(islice(rows, at_once)):
        found.rows += len(batch)
        reports = []
        for one in batch:
            if isinstance(one, Refused):
                found.refuse(one.reason, one.line)
            elif one.category not in named:
                found.refuse("unknown_category", one.line)
            else:
                reports.append(one)
        with civic.work(write=keep) as work:
            if ground is None or not keep:
                ground = LoadedGround(work)
            ground.continue_in(work)
            _store(reports, layout, named, ground, work, now, found)
        progress(found.rows)
    return found


def _store(
    reports: Sequence[Report],
    layout: ReportLayout,
    categories: Mapping[str, Category],
    ground: LoadedGround,
    work: UnitOfWork,
    now: datetime,
    found: Collected,
) -> None:
    known = {
        (source, name)
        for source in {one.source for one in reports}
        for name in work.observations.known(
            source, [one.external_id for one in reports if one.source == source]
        )
    }
    new: dict[tuple[str, str], Report] = {}
    for one in reports:
        name = one.source, one.external_id
        if name in known or name in new:
            found.duplicate += 1
        else:
            new[name] = one
    if not new:
        return
    points = _points(list(new.values()), layout)
    people = People(work, now)
    postings = list[Posting]()
    for report, point in zip(new.values(), points, strict=True):
        if report.position is not None and point is None:
            found.refuse("bad_position", report.line)
            continue
        category = categories[report.category]
        author = report.contributor
        contributor = people.who(f"import:{report.source}:{author}" if author else None)
        try:
            postings.append(_posting(report, point, layout, category, contributor, ground, now))
        except InvalidError as error:
            found.refuse(f"bad_{error.path}", report.line)
        else:
            people.came(contributor)
    people.keep()
    work.observations.add_all([_whole(one, new, now) for one in postings])
    found.stored += len(postings)


def _points(reports: Sequence[Report], layout: ReportLayout) -> list[Point | None]:
    """Return where each stands on the globe, of whatever grid it tells."""
    points: list[Point | None] = [None] * len(reports)
    for crs in {one.crs for one in reports}:
        placed = [
            (n, one.position)
            for n, one in enumerate(reports)
            if one.crs == crs and one.position is not None
        ]
        try:
            found = to_points([position for _, position in placed], crs)
        except UnreadableInputError:
            if crs == layout.crs:
                raise
            continue  # what some rows made up costs no other
        for (n, _), point in zip(placed, found, strict=True):
            points[n] = point
    return points


def _posting(
    report: Report,
    point: Point | None,
    layout: ReportLayout,
    category: Category,
    contributor: Contributor,
    ground: LoadedGround,
    now: datetime,
) -> Posting:
    draft = Draft(
        client_key=uuid5(NAMESPACE_URL, f"import/{report.source}/{report.external_id}"),
        category=category.key,
        kind=ObservationKind(layout.kind),
        text=report.text,
        lang=report.lang,
        severity=report.severity,
        point=point,
        place=report.place if point is None else None,
        occurred_at=report.occurred_at,
        channel=Channel.IMPORT,
        address=report.address,
        external_id=report.external_id,
        source=report.source,
    )
    made = compose(draft, category, contributor, ground, now=now)
    one = made.observation
    if layout.released and one.visibility is Visibility.QUARANTINED:
        one.visibility = made.events[0].visibility = Visibility.PUBLIC
    one.updated_at = report.updated_at
    if report.closed:
        one.status = Status.CLOSED
    return made


def _whole(posting: Posting, reports: Mapping[tuple[str, str], Report], now: datetime) -> Posting:
    """Add what the source told: that it was closed; and the Incident that begins with it."""
    one = posting.observation
    report = reports[one.source, one.external_id or ""]
    events = list(posting.events)
    if report.closed or report.note:
        told = StatusEvent(
            observation=one.id,
            at=report.updated_at or one.received_at,
            actor=report.source,
            visibility=one.visibility,
            status=one.status,
            note=report.note,
        )
        events.append(told)
    incident, member = linking.begun(one, now, by="import")
    return replace(posting, events=events, incident=incident, member=member)
