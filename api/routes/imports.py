"""History by way of a lab that is running: rows come in, exports go out, for the command line."""

import json
from collections import OrderedDict
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from api.dependencies import BodyDep, LabDep, demand
from api.routes.places import read_time
from livinglab.bootstrap import Lab, open_importer
from livinglab.domain.access import Scope
from livinglab.domain.readings import Interval
from livinglab.errors import InvalidError, UsageError
from livinglab.services.exporting import csv_text, export_rows, plan_export
from livinglab.services.importing import Importer, table_id
from livinglab.wire.layouts import layout_from
from livinglab.wire.table import Table

router = APIRouter(tags=["operations"], prefix="/admin")

AT_ONCE = 8
"""Tables whose importers are kept between two requests."""


class Importers:
    """The importers of unfinished imports; one batch is taken at a time."""

    def __init__(self, lab: Lab) -> None:
        """Begin without any."""
        self._lab = lab
        self._open: OrderedDict[str, Importer] = OrderedDict()
        self._lock = Lock()

    def take(self, table: Table, file: str, rows: list[bytes]) -> dict[str, Any]:
        """Record rows, and tell what became of them."""
        name = table_id(table)
        with self._lock:
            importer = self._open.pop(name, None) or open_importer(self._lab, table)
            self._open[name] = importer
            while len(self._open) > AT_ONCE:
                self._open.popitem(last=False)
            return importer.take(file, rows).as_dict()


@router.post("/imports")
def take_rows(request: Request, lab: LabDep, body: BodyDep) -> dict[str, Any]:
    """Import rows of a bulk file: durable once this is answered.

    The first line is JSON, `{"file", "layout", "document", "header"}`; each other line is a row
    as it stands in the file.
    """
    with lab.work(write=False) as work:
        demand(request, work, Scope.ADMIN)
    told, *rows = body.split(b"\n")
    try:
        facts = json.loads(told)
        table = Table.bind(layout_from(facts["document"], facts["layout"]), facts["header"])
        file = str(facts["file"])
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise InvalidError("body", f"its first line describes no table ({error})") from error
    importers: Importers = request.app.state.importers
    return importers.take(table, file, rows)


@router.get("/export/readings")
def export_readings(
    request: Request,
    lab: LabDep,
    from_: Annotated[str, Query(alias="from")],
    to: str,
    place: str | None = None,
    thing: str | None = None,
    zone: str | None = None,
) -> StreamingResponse:
    """Export the public Readings of an interval as CSV."""
    with lab.work(write=False) as work:
        demand(request, work, Scope.ADMIN)
        export = plan_export(work, lab.city.key, place=place, thing=thing, zone=zone)
    now = lab.clock.now()
    start, end = read_time("from", from_, now), read_time("to", to, now)
    if start > end:
        raise InvalidError("from", "must not lie after `to`")
    rows = export_rows(export, Interval(start, end), lab.readings)
    return StreamingResponse(csv_text(rows), media_type="text/csv; charset=utf-8")
