"""Is the lab alive, is it ready, and what does it count?"""

import time
from collections.abc import Callable, Iterable, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.dependencies import LabDep
from livinglab.bootstrap import Lab
from livinglab.domain.ledger import Tally
from livinglab.errors import LabError
from livinglab.services.watching import Pulse

router = APIRouter(tags=["operations"])


@router.get("/health/live")
def live(request: Request) -> JSONResponse:
    """Tell whether the process should go on; 503 asks its supervisor to start it again."""
    pulse: Pulse | None = request.app.state.pulse
    trouble = pulse.trouble(time.monotonic()) if pulse else None
    return JSONResponse(
        {"alive": trouble is None, "trouble": trouble}, 200 if trouble is None else 503
    )


@router.get("/health/ready")
def ready(request: Request, lab: LabDep) -> JSONResponse:
    """Ask every part; 503 names those that do not answer."""
    parts: dict[str, str] = {}
    failed: dict[str, str] = {}
    looks: Mapping[str, Callable[[], str]] = {
        "readings": lab.readings.ping,
        "civic": lab.civic.ping,
        "vault": lab.vault.ping,
        "photos": lab.media.ping,
        **request.app.state.parts,
    }
    for name, look in looks.items():
        try:
            parts[name] = look()
        except LabError as error:
            failed[name] = str(error)
    pulse: Pulse | None = request.app.state.pulse
    if pulse and (problem := pulse.unready()):
        failed["ingest"] = problem
    headers = {"Retry-After": "5"} if failed else {}
    return JSONResponse(
        {"ready": not failed, "parts": parts, "failed": failed}, 503 if failed else 200, headers
    )


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, lab: LabDep) -> Response:
    """Print the counts for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Counts(lab, request.app.state.pulse))
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")


class _Counts:
    """The ledger, the quarantine and the pulse as metrics, read when they are asked for."""

    def __init__(self, lab: Lab, pulse: Pulse | None) -> None:
        self.lab, self.pulse = lab, pulse

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        routes: dict[str, Tally] = {}
        with self.lab.work(write=False) as work:
            for line in work.ledger.lines():
                routes.setdefault(line.route, Tally()).add(line.tally)
            waiting = work.quarantine.counts()
            personal = [key for key, one in self.lab.categories.items() if one.privacy.personal]
            observations = work.observations.count(except_categories=personal)
        for name, help_ in (("messages", "MQTT messages"), ("readings", "Readings")):
            family = CounterMetricFamily(
                f"livinglab_{name}", f"{help_} by route and outcome", labels=["route", "outcome"]
            )
            for route, tally in routes.items():
                for outcome, n in _outcomes(name, tally).items():
                    family.add_metric([route, outcome], n)
            yield family
        difference = GaugeMetricFamily(
            "livinglab_unaccounted", "How far the ledger's sides differ; 0 unless the lab is broken"
        )
        difference.add_metric([], sum(tally.unaccounted for tally in routes.values()))
        yield difference
        refused = GaugeMetricFamily(
            "livinglab_quarantine", "What waits", labels=["route", "reason"]
        )
        for (route, reason), n in waiting.items():
            refused.add_metric([route, reason], n)
        yield refused
        yield _gauge(
            "livinglab_observations",
            "Observations of citizens, but for those of personal themes",
            observations,
        )
        yield _gauge(
            "livinglab_stored_readings", "Rows of the ReadingStore", self.lab.readings.count()
        )
        if self.pulse is not None:
            yield from _of_pulse(self.pulse)


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


def _outcomes(name: str, tally: Tally) -> dict[str, int]:
    if name == "messages":
        return {
            "decoded": tally.decoded,
            "retained": tally.retained,
            "probe": tally.probe,
            "rule": tally.rule,
            "quarantined": tally.quarantined_messages,
        }
    return {
        "stored": tally.stored,
        "duplicate": tally.duplicate,
        "replaced": tally.replaced,
        "quarantined": tally.quarantined_readings,
    }


def _of_pulse(pulse: Pulse) -> Iterable[Metric]:
    held = time.monotonic() - pulse.batch_since if pulse.batch_since is not None else 0.0
    yield _gauge("livinglab_batch_messages", "Size of the last batch", pulse.batch_messages)
    yield _gauge("livinglab_commit_seconds", "How long the store took for it", pulse.commit_s)
    yield _gauge("livinglab_oldest_unacknowledged_seconds", "Age of the batch in hand", held)
    yield _gauge("livinglab_broker_dropped", "Messages the broker dropped", pulse.dropped_by_broker)
