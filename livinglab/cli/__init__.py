"""The command line: services meet here and nowhere else.

Data go to standard output, progress and logs to standard error. Exit 0: done; 1: done, but
something was refused; 2: wrong usage or unreadable input; 3: a part that is needed does not answer.
Imports stand inside the commands, so that ``--help`` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from livinglab.errors import LabError, UnavailableError, UsageError

app = typer.Typer(
    name="livinglab",
    help="A living lab for a city: sensors and citizens at the same Places.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
thing_app = typer.Typer(help="The registry of Things.", no_args_is_help=True)
quarantine_app = typer.Typer(help="What was refused, why, and another try.", no_args_is_help=True)
db_app = typer.Typer(help="The civic database.", no_args_is_help=True)
staff_app = typer.Typer(help="Accounts of people who act for the city.", no_args_is_help=True)
key_app = typer.Typer(help="Access keys for programs.", no_args_is_help=True)
import_app = typer.Typer(help="History out of bulk files.", no_args_is_help=True)
export_app = typer.Typer(help="Public data under the public rules.", no_args_is_help=True)
app.add_typer(thing_app, name="thing")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(db_app, name="db")
app.add_typer(key_app, name="key")
app.add_typer(staff_app, name="staff")
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")

Data = Annotated[Path | None, typer.Option("--data", help="Folder of everything embedded.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, whatever standard output is.")]


def main(arguments: list[str] | None = None) -> None:
    """Run one command; every error of ours is one sentence and an exit code."""
    try:
        app(arguments, standalone_mode=True)
    except UsageError as error:
        _end(error, 2)
    except UnavailableError as error:
        _end(error, 3)
    except LabError as error:
        _end(error, 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _end(error: LabError, code: int) -> None:
    typer.echo(f"livinglab: {error}", err=True)
    sys.exit(code)


@app.command()
def up(  # noqa: PLR0913, PLR0917 - Typer makes each argument an option
    town: Annotated[
        str | None, typer.Option(help="Simulate this town: a name, or a town file.")
    ] = None,
    data: Data = None,
    port: Annotated[int, typer.Option(help="Port of the pages and the API.")] = 8000,
    mqtt_port: Annotated[
        int | None, typer.Option(help="Port of the broker; without it, 1883 or a free one.")
    ] = None,
    lan: Annotated[
        bool, typer.Option("--lan", help="Open pages and broker to the local network.")
    ] = False,
    for_: Annotated[
        float | None, typer.Option("--for", help="End after so many seconds, with a summary.")
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Town time per real time: a number, or `max` for flat out.")
    ] = "1",
    days: Annotated[
        float | None, typer.Option(help="End after so many days of the town's time.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another course of events.")] = None,
) -> None:
    """Run the embedded lab in one process: broker, ingest, API, pages; with a town, its life."""
    from livinglab.cli.up import Wishes, run_up  # noqa: PLC0415 - keeps --help instant

    wishes = Wishes(
        town=town,
        data=data,
        port=port,
        mqtt_port=mqtt_port,
        lan=lan,
        seconds=for_,
        speed=speed,
        days=days,
        seed=seed,
    )
    raise typer.Exit(run_up(wishes))


@app.command()
def ingest() -> None:
    """Keep the stores current with what Things publish: one service of the deployed profile."""
    from livinglab.cli.services import run_ingest  # noqa: PLC0415 - keeps --help instant

    run_ingest()


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Serve pages and API: one service of the deployed profile."""
    from livinglab.cli.services import run_api  # noqa: PLC0415 - keeps --help instant

    run_api(host, port)


@app.command()
def simulate(
    town: Annotated[str, typer.Argument(help="A town's name, or a town file.")],
    speed: Annotated[str, typer.Option(help="A number, or `max` for flat out.")] = "1",
    days: Annotated[float | None, typer.Option(help="Days of the town's time.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another course of events.")] = None,
    data: Data = None,
) -> None:
    """Simulate a town: against the lab of the settings, or with an embedded one of its own."""
    from livinglab.cli.services import run_simulate  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(run_simulate(town, speed=speed, days=days, seed=seed, data=data))


@app.command()
def doctor(data: Data = None, json: Json = False) -> None:
    """Look at every part within reach, its version, and what to do about the others."""
    from livinglab.cli.looking import run_doctor  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(run_doctor(data, as_json=json))


@app.command()
def settings(
    json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page `docs/settings.md`.")
    ] = False,
) -> None:
    """Print each setting with its value, where it comes from, and what it means."""
    from livinglab.cli.looking import print_settings  # noqa: PLC0415 - keeps --help instant

    print_settings(as_json=json, markdown=markdown)


@app.command()
def route(
    topic: Annotated[str, typer.Argument(help="As a Thing would publish to it.")],
    payload: Annotated[
        str | None, typer.Option(help="Also decode this file; - is standard input.")
    ] = None,
    json: Json = False,
) -> None:
    """Say which route takes a topic, and what it makes of it."""
    from livinglab.cli.looking import run_route  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(run_route(topic, payload, as_json=json))


@app.command()
def decode(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="A wire format, or `auto`.")],
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.")] = "-",
    topic: Annotated[str, typer.Option(help="Topic it came under.")] = "",
    timezone: Annotated[str | None, typer.Option(help="IANA zone of times that tell none.")] = None,
    now: Annotated[str | None, typer.Option(help="When it arrived (RFC 3339).")] = None,
    route: Annotated[Path | None, typer.Option(help="Route file (TOML) for format json.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also list what is knowingly not a measurement.")
    ] = False,
) -> None:
    """Print what the lab would make of one payload, storing nothing: one JSON object a line."""
    from livinglab.cli.looking import run_decode  # noqa: PLC0415 - keeps --help instant

    code = run_decode(
        format_, file, topic=topic, timezone=timezone, now=now, route=route, everything=all_
    )
    raise typer.Exit(code)


@db_app.command("upgrade")
def db_upgrade(data: Data = None) -> None:
    """Bring the civic database and the Vault to this version's schema."""
    from livinglab.cli.registry import upgrade  # noqa: PLC0415 - keeps --help instant

    upgrade(data)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - Typer makes each argument an option
    initiative: Annotated[
        str | None, typer.Argument(help="Key of an Initiative of the lab.")
    ] = None,
    panel: Annotated[
        str | None, typer.Option(help="CSV with unit, period, value and treated or start; - stdin.")
    ] = None,
    treated: Annotated[str | None, typer.Option(help="Treated units, by commas.")] = None,
    start: Annotated[str | None, typer.Option(help="First treated period of those.")] = None,
    announced: Annotated[
        str | None, typer.Option(help="When people first knew; from then to the start is left out.")
    ] = None,
    sesoi: Annotated[
        float | None, typer.Option(help="Smallest effect of interest, stated beforehand.", min=0)
    ] = None,
    transform: Annotated[str, typer.Option(help="level, log or poisson.")] = "level",
    estimators: Annotated[
        str | None, typer.Option(help="Only these, by commas: sdid, sc, cs, did, its, uc.")
    ] = None,
    control_group: Annotated[str, typer.Option(help="never or notyet.")] = "never",
    unbalanced: Annotated[str, typer.Option(help="available or complete.")] = "available",
    covariates: Annotated[str | None, typer.Option(help="Columns, by commas.")] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Column within which errors go together.")
    ] = None,
    weather: Annotated[
        str | None, typer.Option(help="Columns of weather to take out first, by commas.")
    ] = None,
    negative_control: Annotated[
        str | None, typer.Option(help="CSV of an outcome that the measure cannot touch.")
    ] = None,
    seasonal: Annotated[float | None, typer.Option(help="Periods in a season.", min=2)] = None,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    draws: Annotated[int, typer.Option(help="Of bootstraps and placebos.")] = 999,
    seed: Annotated[int, typer.Option(help="Of all random numbers.", min=0)] = 0,
    hypothesis: Annotated[
        str | None, typer.Option(help="Of an Initiative; default: its primary one.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture, as SVG.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Tell what changed, and how sure that is: for an Initiative, or for any panel."""
    from livinglab.cli import evaluating  # noqa: PLC0415 - keeps --help instant

    if (initiative is None) == (panel is None):
        raise UsageError("evaluate: name an Initiative, or a panel with --panel FILE")
    if initiative is not None:
        done = evaluating.evaluate_here(
            initiative, hypothesis, data, seed=seed, as_json=json, plot=plot
        )
        raise typer.Exit(done)
    question = evaluating.Question(
        file=panel or "",
        treated=evaluating.split(treated),
        start=start,
        announced=announced,
        smallest_effect=sesoi,
        transform=evaluating.one_of("--transform", transform, evaluating.TRANSFORMS),
        estimators=evaluating.split(estimators) or None,
        control_group=evaluating.one_of("--control-group", control_group, evaluating.CONTROLS),
        unbalanced=evaluating.one_of("--unbalanced", unbalanced, evaluating.RULES),
        covariates=evaluating.split(covariates),
        weather=evaluating.split(weather),
        cluster=cluster,
        negative_control=negative_control,
        seasonal=seasonal,
        level=level,
        draws=draws,
        seed=seed,
    )
    raise typer.Exit(evaluating.evaluate_panel(question, as_json=json, plot=plot))


@app.command()
def agree(  # noqa: PLR0913, PLR0917 - Typer makes each argument an option
    observations: Annotated[
        str, typer.Option(help="CSV with time and place, zone, or lat and lon; - stdin.")
    ],
    readings: Annotated[
        str, typer.Option(help="CSV with time, value, and place, zone, or lat and lon; - stdin.")
    ],
    every: Annotated[str, typer.Option(help="Length of a period: 1h or 1D.")] = "1D",
    lags: Annotated[
        str | None, typer.Option(help="Periods Observations may follow by; default 0..24 or 0..7.")
    ] = None,
    count: Annotated[str, typer.Option(help="reports, contributors or severity.")] = "reports",
    min_severity: Annotated[
        float | None, typer.Option(help="Count only Observations at least as severe.")
    ] = None,
    anomalies: Annotated[
        str, typer.Option(help="month takes out each month's median; or none.")
    ] = "month",
    exceedance: Annotated[
        str, typer.Option(help="Threshold: a value, or a percentile such as p90.")
    ] = "p90",
    timezone: Annotated[
        str | None, typer.Option(help="IANA zone of the city, and of times that tell none.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all random numbers.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Tell whether what citizens post and what sensors show go together."""
    from livinglab.cli import agreeing, evaluating  # noqa: PLC0415 - keeps --help instant

    question = agreeing.Question(
        observations=observations,
        readings=readings,
        every=evaluating.one_of("--every", every, agreeing.EVERY),
        lags=lags,
        count=evaluating.one_of("--count", count, agreeing.COUNTS),
        min_severity=min_severity,
        anomalies=evaluating.one_of("--anomalies", anomalies, agreeing.ANOMALIES),
        exceedance=exceedance,
        timezone=timezone,
        seed=seed,
    )
    raise typer.Exit(agreeing.run_agree(question, as_json=json))


@app.command()
def erase(
    contributor: Annotated[
        str, typer.Argument(help="Pseudonym, or the id of something that was posted.")
    ],
    data: Data = None,
) -> None:
    """Forget somebody: words, exact positions, contact; what was counted stays counted."""
    from livinglab.cli.people import erase_contributor  # noqa: PLC0415 - keeps --help instant

    erase_contributor(contributor, data)


@key_app.command("create")
def key_create(
    scope: Annotated[list[str], typer.Option(help="read, submit, moderate, plan or admin.")],
    name: Annotated[str, typer.Option(help="Whose key it is; used once.")],
    expires: Annotated[
        float | None, typer.Option(min=0, max=36_500, help="Days until it ends.")
    ] = None,
    data: Data = None,
) -> None:
    """Make an access key; its secret is printed once and never again."""
    from livinglab.cli.registry import create_key  # noqa: PLC0415 - keeps --help instant

    create_key(name, scope, data, days=expires)


@key_app.command("list")
def key_list(data: Data = None, json: Json = False) -> None:
    """List keys; never a secret."""
    from livinglab.cli.registry import list_keys  # noqa: PLC0415 - keeps --help instant

    list_keys(data, as_json=json)


@key_app.command("rotate")
def key_rotate(
    name: Annotated[str, typer.Argument(help="Of the key.")],
    grace: Annotated[
        float, typer.Option(min=0, max=8_760, help="Hours for which the old secret works on.")
    ] = 24,
    data: Data = None,
) -> None:
    """Give a key a new secret, printed once; the old one works on for a while."""
    from livinglab.cli.registry import rotate_key  # noqa: PLC0415 - keeps --help instant

    rotate_key(name, data, grace_hours=grace)


@key_app.command("revoke")
def key_revoke(name: Annotated[str, typer.Argument(help="Of the key.")], data: Data = None) -> None:
    """Take a key away, at once."""
    from livinglab.cli.registry import revoke_key  # noqa: PLC0415 - keeps --help instant

    revoke_key(name, data)


@staff_app.command("add")
def staff_add(
    login: Annotated[str, typer.Argument(help="Such as anna.k; used once.")],
    scope: Annotated[list[str], typer.Option(help="read, submit, moderate, plan or admin.")],
    data: Data = None,
) -> None:
    """Give somebody an account; its first password is printed once and never again."""
    from livinglab.cli.people import recruit  # noqa: PLC0415 - keeps --help instant

    recruit(login, scope, data)


@staff_app.command("list")
def staff_list(data: Data = None, json: Json = False) -> None:
    """List accounts."""
    from livinglab.cli.people import list_staff  # noqa: PLC0415 - keeps --help instant

    list_staff(data, as_json=json)


@staff_app.command("scope")
def staff_scope(
    login: Annotated[str, typer.Argument()],
    scope: Annotated[
        list[str] | None, typer.Option(help="All that it may do from now on; none: nothing.")
    ] = None,
    data: Data = None,
) -> None:
    """Say anew what somebody may do; it holds from their next request on."""
    from livinglab.cli.people import set_scopes  # noqa: PLC0415 - keeps --help instant

    set_scopes(login, scope or [], data)


@staff_app.command("reset")
def staff_reset(login: Annotated[str, typer.Argument()], data: Data = None) -> None:
    """Print a new password, and forget the second factor, for somebody who lost theirs."""
    from livinglab.cli.people import reset  # noqa: PLC0415 - keeps --help instant

    reset(login, data)


@staff_app.command("dismiss")
def staff_dismiss(login: Annotated[str, typer.Argument()], data: Data = None) -> None:
    """End an account and its sessions at once."""
    from livinglab.cli.people import dismiss  # noqa: PLC0415 - keeps --help instant

    dismiss(login, data)


@thing_app.command("list")
def thing_list(
    state: Annotated[
        str | None, typer.Option(help="provisional, confirmed, test or retired.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """List Things."""
    from livinglab.cli.registry import list_things  # noqa: PLC0415 - keeps --help instant

    list_things(state, data, as_json=json)


@thing_app.command("show")
def thing_show(key: str, data: Data = None, json: Json = False) -> None:
    """Show a Thing, its Datastreams, and where it stood when."""
    from livinglab.cli.registry import show_thing  # noqa: PLC0415 - keeps --help instant

    show_thing(key, data, as_json=json)


Keys = Annotated[list[str] | None, typer.Argument(help="Keys of Things.")]
OfRoute = Annotated[
    str | None,
    typer.Option("--route", help="All that a route introduced and nobody confirmed."),
]


@thing_app.command("confirm")
def thing_confirm(keys: Keys = None, route: OfRoute = None, data: Data = None) -> None:
    """Trust Things: their Readings become public."""
    from livinglab.cli.registry import set_state  # noqa: PLC0415 - keeps --help instant

    set_state(keys or [], route, "confirmed", data)


@thing_app.command("retire")
def thing_retire(keys: Keys = None, data: Data = None) -> None:
    """Take Things out of service; what they measured stays."""
    from livinglab.cli.registry import set_state  # noqa: PLC0415 - keeps --help instant

    set_state(keys or [], None, "retired", data)


@thing_app.command("mark-test")
def thing_mark_test(keys: Keys = None, data: Data = None) -> None:
    """Mark Things that stand on a desk: kept, never public."""
    from livinglab.cli.registry import set_state  # noqa: PLC0415 - keeps --help instant

    set_state(keys or [], None, "test", data)


@thing_app.command("locate")
def thing_locate(
    scheme: Annotated[str, typer.Argument(help="Scheme of the Things' ids.")],
    file: Annotated[Path, typer.Argument(help="CSV with the columns thing (or sensor), lon, lat.")],
    data: Data = None,
) -> None:
    """Give Things that do not tell it the Place where they stand."""
    from livinglab.cli.registry import locate_things  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(locate_things(scheme, file, data))


Reason = Annotated[str | None, typer.Option(help="Only this reason.")]
Route = Annotated[str | None, typer.Option(help="Only this route.")]


@quarantine_app.command("list")
def quarantine_list(
    reason: Reason = None, route: Route = None, data: Data = None, json: Json = False
) -> None:
    """List what waits."""
    from livinglab.cli.registry import list_quarantine  # noqa: PLC0415 - keeps --help instant

    list_quarantine(reason, route, data, as_json=json)


@quarantine_app.command("show")
def quarantine_show(number: int, data: Data = None, json: Json = False) -> None:
    """Show one refused message with its bytes."""
    from livinglab.cli.registry import show_quarantined  # noqa: PLC0415 - keeps --help instant

    show_quarantined(number, data, as_json=json)


@quarantine_app.command("replay")
def quarantine_replay(
    reason: Reason = None,
    route: Route = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would happen.")
    ] = False,
    data: Data = None,
) -> None:
    """Try again what waits, with the present decoders and the first arrival time."""
    from livinglab.cli.registry import replay_quarantine  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(replay_quarantine(reason, route, data, dry_run=dry_run))


@quarantine_app.command("drop")
def quarantine_drop(reason: Reason = None, route: Route = None, data: Data = None) -> None:
    """Give up on what waits; its bytes stay, marked as dropped."""
    from livinglab.cli.registry import drop_quarantined  # noqa: PLC0415 - keeps --help instant

    drop_quarantined(reason, route, data)


@import_app.command("readings")
def import_readings(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="CSV; - is standard input.")],
    layout: Annotated[
        str, typer.Option(help="What the columns hold: a layout's name, or a TOML file.")
    ] = "long",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would happen in an empty lab.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Import bulk history through the same checks as MQTT; a second time stores nothing new."""
    from livinglab.cli.history import import_readings  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(import_readings(files, layout, data, dry_run=dry_run, as_json=json))


@import_app.command("observations")
def import_observations(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="CSV or JSON; - is standard input.")
    ],
    layout: Annotated[
        str, typer.Option(help="What the columns hold: a layout's name, or a TOML file.")
    ] = "plain",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would happen.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Import what citizens posted elsewhere; a second time stores nothing new."""
    from livinglab.cli.collecting import import_observations  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(import_observations(files, layout, data, dry_run=dry_run, as_json=json))


@import_app.command("batches")
def import_batches(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="CSV; - is standard input.")],
    source: Annotated[
        str, typer.Option(help="Who counted, where a line does not tell; ids are its own.")
    ] = "paper",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would happen.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Import what people said on paper, as counts; a second time stores nothing new."""
    from livinglab.cli.collecting import import_sheets  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(import_sheets(files, source, data, dry_run=dry_run, as_json=json))


@export_app.command("readings")
def export_readings(
    from_: Annotated[str, typer.Option("--from", help="First instant (RFC 3339).")],
    to: Annotated[str | None, typer.Option(help="The instant after; without it, now.")] = None,
    place: Annotated[str | None, typer.Option(help="Only at this Place.")] = None,
    thing: Annotated[str | None, typer.Option(help="Only of this Thing.")] = None,
    zone: Annotated[str | None, typer.Option(help="Only at Places in this Zone.")] = None,
    format_: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    data: Data = None,
) -> None:
    """Write public Readings to standard output."""
    from livinglab.cli.history import export_readings  # noqa: PLC0415 - keeps --help instant

    export_readings(
        from_=from_, to=to, place=place, thing=thing, zone=zone, format_=format_, data=data
    )


@export_app.command("observations")
def export_observations(
    format_: Annotated[str, typer.Option("--format", help="csv, geojson or parquet.")] = "csv",
    data: Data = None,
) -> None:
    """Write public Observations to standard output, with names of people made for this once."""
    from livinglab.cli.publishing import export_observations  # noqa: PLC0415 - keeps --help instant

    export_observations(format_, data)
