"""Evaluating from the command line: any panel in a file, or an Initiative of the lab."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from livinglab.bootstrap import Lab, open_lab
from livinglab.cli import asking
from livinglab.config import Settings, read_settings
from livinglab.errors import LabBusyError, PanelError, UnreadableInputError
from livinglab.impact import plots, telling
from livinglab.impact.estimators import Options
from livinglab.impact.evaluation import Calm, Context, evaluate
from livinglab.impact.panel import RESERVED, Panel, Transform, read_period
from livinglab.impact.weather import normalise
from livinglab.impact.wording import sentence_of
from livinglab.services.evaluating import run_job
from livinglab.services.initiating import ask_evaluation

_screen = Console(stderr=True)
PICTURE = "course"
POLL_S = 0.5
"""Between two looks at an evaluation that the running lab does. [s]"""

TRANSFORMS: tuple[Transform, ...] = ("level", "log", "poisson")
CONTROLS: tuple[Literal["never", "notyet"], ...] = ("never", "notyet")
RULES: tuple[Literal["available", "complete"], ...] = ("available", "complete")
Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the command line asked about a panel."""

    file: str
    treated: tuple[str, ...] = ()
    start: str | None = None
    announced: str | None = None
    smallest_effect: float | None = None
    transform: Transform = "level"
    estimators: tuple[str, ...] | None = None
    control_group: Literal["never", "notyet"] = "never"
    unbalanced: Literal["available", "complete"] = "available"
    covariates: tuple[str, ...] = ()
    weather: tuple[str, ...] = ()
    cluster: str | None = None
    negative_control: str | None = None
    seasonal: float | None = None
    level: float = 0.95
    draws: int = 999
    seed: int = 0


def evaluate_panel(question: Question, *, as_json: bool, plot: Path | None) -> int:
    """Evaluate a panel in a file and print what may be said; 0 also where nothing was detected.

    Raises:
        PanelError: The table lets nothing be estimated; the sentence says where and what to do.
    """
    if not 0.5 <= question.level < 1:  # noqa: PLR2004 - an interval covers more than half
        raise PanelError(f"--level {question.level:g} is no coverage: give 0.5 to below 1")
    if not 1 <= question.draws <= 100_000:  # noqa: PLR2004 - more takes hours, and tells no more
        raise PanelError(f"--draws {question.draws} lies outside 1 to 100000")
    panel = _read(question.file, question)
    context = Context(
        smallest_effect=question.smallest_effect,
        announced=_announced(question, panel),
        negative_control=_negative(question),
    )
    options = Options(
        level=question.level,
        draws=question.draws,
        seasonal=question.seasonal,
        control_group=question.control_group,
        unbalanced=question.unbalanced,
    )
    with _screen.status("reading") as status:
        panel, calm = _calm(panel.transformed(question.transform), question, status.update)
        found = evaluate(
            panel,
            calm=calm,
            context=context,
            options=options,
            estimators=question.estimators,
            seed=question.seed,
            progress=lambda step: status.update(f"evaluating: {step}"),
        )
    sentence = sentence_of(found)
    facts = {"weather": calm.weather.document()} if calm else {}
    told = telling.document(found, sentence, **facts)
    if plot is not None:
        plot.write_text(plots.of_evaluation(found), encoding="utf-8")
    _print(told, as_json=as_json)
    return 0


def evaluate_here(
    initiative: str,
    hypothesis: str | None,
    data: Path | None,
    *,
    seed: int,
    as_json: bool,
    plot: Path | None,
) -> int:
    """Evaluate an Initiative of the lab in a data folder, keep the Effect, and print it.

    Where a lab runs on the folder, it does the work; one process holds the Readings.

    Raises:
        NotFoundError: There is no such Initiative or Hypothesis.
        PanelError: Its Readings let nothing be estimated.
        UnavailableError: The running lab does not answer.
    """
    settings = read_settings(data=data)
    with _screen.status("reading") as status:

        def tell(step: str) -> None:
            status.update(f"evaluating: {step}")

        try:
            lab = open_lab(settings)
        except LabBusyError:
            told, picture = _over_http(settings, initiative, hypothesis, seed, tell)
        else:
            with closing(lab):
                told, picture = _here(lab, initiative, hypothesis, seed, tell)
    if plot is not None:
        plot.write_text(picture, encoding="utf-8")
    _print(told, as_json=as_json)
    return 0


def _here(
    lab: Lab,
    initiative: str,
    hypothesis: str | None,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[dict[str, Any], str]:
    """Evaluate in this process; return the Effect and its picture."""
    with lab.work() as work:
        job = ask_evaluation(initiative, hypothesis, seed, work, lab.clock.now()).id
    run_job(
        job,
        civic=lab.civic,
        readings=lab.readings,
        timezone=lab.city.timezone,
        now=lab.clock.now(),
        progress=tell,
    )
    with lab.work(write=False) as work:
        ended, effect = work.initiatives.job(job), work.initiatives.effect(job)
        picture = work.initiatives.picture(job, PICTURE, "en")
        if effect is None or picture is None:
            raise PanelError(ended.problem if ended else "")
        return {"id": str(job), "initiative": initiative, **effect.document}, picture.svg


def _path(initiative: str) -> str:
    return f"/initiatives/{quote(initiative, safe='')}/evaluations"


def _over_http(
    settings: Settings,
    initiative: str,
    hypothesis: str | None,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[dict[str, Any], str]:
    """Ask the running lab, and wait for what it finds: the Effect and its picture."""
    body = json.dumps({"hypothesis": hypothesis, "seed": seed}).encode()
    path = _path(initiative)
    state: dict[str, Any] = asking.told(asking.ask(settings, path, body, kind="application/json"))
    while state["state"] in {"waiting", "running"}:
        tell(state["step"] or state["state"])
        time.sleep(POLL_S)
        state = asking.told(asking.ask(settings, f"{path}/{state['id']}"))
    if state["state"] == "failed":
        raise PanelError(state["problem"])
    picture = asking.pieces(asking.ask(settings, f"{path}/{state['id']}/{PICTURE}.svg"))
    return state, b"".join(picture).decode()


def _print(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))  # noqa: T201 - data go to stdout
    else:
        show(told)


def _frame(source: str) -> pd.DataFrame:
    try:
        with _opened(source) as file:
            return pd.read_csv(file, dtype={"unit": str}, low_memory=False)
    except OSError as error:
        raise UnreadableInputError(source, f"cannot be read ({error.strerror})") from error
    except (ValueError, UnicodeDecodeError) as error:
        text = str(error).splitlines()[0][:160]
        raise UnreadableInputError(source, f"is no CSV table ({text})") from error


def _opened(source: str) -> Any:
    if source == "-":
        return sys.stdin
    return Path(source).open(encoding="utf-8-sig", newline="")


def _read(source: str, question: Question) -> Panel:
    frame = _frame(source)
    if question.cluster:
        if question.cluster not in frame.columns:
            raise PanelError(f"--cluster: there is no column {question.cluster}")
        frame = frame.assign(cluster=frame[question.cluster])
    wanted = (*question.covariates, *question.weather)
    for name in wanted:
        if name not in frame.columns:
            raise PanelError(f"there is no column {name}; there are {', '.join(frame.columns)}")
    kept = frame[[name for name in frame.columns if name in RESERVED or name in wanted]]
    if question.treated:
        kept = kept.drop(columns=["treated", "start"], errors="ignore")
    return Panel.of(kept, treated=question.treated, start=question.start)


def _calm(
    panel: Panel, question: Question, tell: Callable[[str], None]
) -> tuple[Panel, Calm | None]:
    """Set the columns of weather apart, and take out what they explain."""
    if not question.weather:
        return panel, None
    normal, found = normalise(
        panel,
        question.weather,
        rng=np.random.default_rng(question.seed),
        progress=lambda done, total: tell(f"taking the weather out: {done} of {total} units"),
    )
    kept = {
        name: column for name, column in panel.covariates.items() if name not in question.weather
    }
    return replace(panel, covariates=kept), Calm(normal, found)


def _negative(question: Question) -> Panel | None:
    if question.negative_control is None:
        return None
    return _read(question.negative_control, question).transformed(question.transform)


def _announced(question: Question, panel: Panel) -> Any:
    return None if question.announced is None else read_period(question.announced, panel)


def show(told: dict[str, Any]) -> None:
    """Print a document for somebody at a terminal."""
    out = Console()
    out.print(escape(told["sentence"]), style="bold", highlight=False)
    facts = told["panel"]
    out.print(
        f"finding {told['finding'] or 'none'}, grade {told['grade'] or '-'}; "
        f"{facts['treated']} of {facts['units']} units treated, {facts['pre']} of "
        f"{facts['periods']} periods before; smallest effect that would have been found: "
        f"{_text(told['mde'])}",
        highlight=False,
    )
    table = Table(header_style="bold", title="estimates")
    for name in ("estimator", "tier", "effect", "low", "high", "relative", "p", "p from"):
        table.add_column(name)
    for one in told["estimates"]:
        mark = {told["headline"]: " (decides)", told["check"]: " (check)"}
        relative = one["relative"]
        table.add_row(
            one["estimator"] + mark.get(one["estimator"], ""),
            one["tier"],
            *(_text(one[name]) for name in ("effect", "low", "high")),
            "" if relative is None else f"{relative:+.1%}",
            _text(one["p"]),
            one["p_method"],
        )
    for one in told["not_run"]:
        table.add_row(one["estimator"], "", escape(one["reason"]), style="dim")
    out.print(table)
    checks = Table(header_style="bold", title="guards")
    for name in ("guard", "status", "value", "threshold", "note"):
        checks.add_column(name)
    for one in told["guards"]:
        checks.add_row(
            one["id"],
            one["status"],
            _text(one["value"]),
            _text(one["threshold"]),
            escape(one["note"]),
            style="" if one["status"] in {"pass", "reported", "not_applicable"} else "yellow",
        )
    out.print(checks)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def split(text: str | None) -> tuple[str, ...]:
    """Read a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def one_of(option: str, given: str, choices: tuple[Choice, ...]) -> Choice:
    """Return the choice that was named.

    Raises:
        UnreadableInputError: There is no such choice.
    """
    for one in choices:
        if one == given:
            return one
    raise UnreadableInputError(option, f"{given!r} is none of {', '.join(choices)}")
