"""Looking: what the settings say, which parts answer, and what a payload would become."""

import json
import os
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from dotenv import dotenv_values

from livinglab.bootstrap import parts
from livinglab.cli.printing import print_rows
from livinglab.config import Settings, empty_city, read_city, read_settings, route_from
from livinglab.errors import LabError, UnreadableInputError
from livinglab.services.decoding import decode
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router

SECRET = ("password", "token", "secret")


def print_settings(*, as_json: bool, markdown: bool) -> None:
    """Print every setting."""
    if markdown:
        print(settings_page(), end="")  # noqa: T201 - data go to stdout
        return
    chosen, named = read_settings(), dotenv_values(".env")
    rows = [
        {
            "variable": variable(name),
            "value": shown(name, getattr(chosen, name)),
            "source": _source(variable(name), named),
            "meaning": " ".join((field.description or "").split()),
        }
        for name, field in Settings.model_fields.items()
    ]
    print_rows(rows, as_json=as_json, empty="")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"LIVINGLAB_{name.upper()}"


def shown(name: str, value: object) -> str | None:
    """Return a value for a person: secrets masked, unset as None."""
    if value is None or value == "":
        return None
    if any(word in name for word in SECRET) and not name.endswith("_file"):
        return "********"
    text = str(value)
    return _without_password(text) if "://" in text else text


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}:********@{host}" if at and ":" in user else url


def _source(name: str, named: dict[str, str | None]) -> str:
    return "environment" if name in os.environ else ".env" if name in named else "default"


def settings_page() -> str:
    """Write the page `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Environment variables, or lines of a file `.env` in the folder where the lab starts.",
        "`livinglab settings` prints each with its present value and where that comes from.",
        "This page is generated: `livinglab settings --markdown > docs/settings.md`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in {None, ""} else f"`{field.default}`"
        meaning = " ".join((field.description or "").split())
        lines.append(f"| `{variable(name)}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def run_doctor(data: Path | None, *, as_json: bool) -> int:
    """Look at every part; 3 if the lab could not start with these settings."""
    rows = []
    for name, look in parts(read_settings(data=data)).items():
        try:
            rows.append({"part": name, "state": "ok", "finding": look()})
        except LabError as error:
            rows.append({"part": name, "state": "missing", "finding": str(error)})
    print_rows(rows, as_json=as_json, empty="")
    return 3 if any(row["state"] == "missing" for row in rows) else 0


def run_decode(
    format_: str,
    file: str,
    *,
    topic: str,
    timezone: str | None,
    now: str | None,
    route: Path | None,
    everything: bool,
) -> int:
    """Print what a payload would become; 1 if something of it would be refused."""
    refused = False
    for line in decode(
        format_,
        _payload(file),
        topic=topic,
        timezone=timezone,
        now=instant("--now", now) if now else datetime.now(UTC),
        route=_route(route),
        everything=everything,
    ):
        refused = refused or "reject" in line
        print(json.dumps(line, ensure_ascii=False))  # noqa: T201 - data go to stdout
    return int(refused)


def run_route(topic: str, payload: str | None, *, as_json: bool) -> int:
    """Print which route takes a topic, and what it makes of a payload; 1 if none, or refused."""
    chosen = read_settings()
    city = read_city(chosen.city) if chosen.city else empty_city()
    routed = Router(city.routes).route(topic.encode())
    if routed is None:
        filters = ", ".join(route.filter for route in city.routes)
        sys.stderr.write(f"livinglab: no route takes {topic}; there are {filters}\n")
        return 1
    route, names = routed
    facts = {
        "route": route.name,
        "filter": route.filter,
        "format": route.format,
        "scheme": route.scheme,
        "names": " ".join(f"{name}={value}" for name, value in names.items()),
        "timezone": route.timezone,
        "confirm": route.confirm,
        "moving": route.moving,
    }
    print_rows([facts], as_json=as_json, empty="")
    if payload is None:
        return 0
    lines = list(
        decode(route.format, _payload(payload), topic=topic, now=datetime.now(UTC), route=route)
    )
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))  # noqa: T201 - data go to stdout
    return int(any("reject" in line for line in lines))


def _payload(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UnreadableInputError(file, f"cannot be read ({error.strerror})") from error


def instant(option: str, text: str) -> datetime:
    """Read an instant that an option gives, in UTC.

    Raises:
        UnreadableInputError: It is none, or tells no zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnreadableInputError(option, f"{text!r} is no RFC 3339 time") from error
    if found.tzinfo is None:
        raise UnreadableInputError(option, f"{text!r} has no zone; end it in Z or +01:00")
    return found.astimezone(UTC)


def _route(path: Path | None) -> Route | None:
    if path is None:
        return None
    try:
        return route_from(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise UnreadableInputError(str(path), f"cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnreadableInputError(str(path), f"is not TOML: {error}") from error
