"""Settings and the city file: what a city decides, read once and checked before anything starts."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from livinglab.domain.answers import Responsibility
from livinglab.domain.geometry import Box, Point, is_point
from livinglab.domain.incidents import NEAR_M
from livinglab.domain.observations import Attribute, Category, Datatype
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import THING_RADIUS_M, City, Place, PlaceOrigin, Zone, ZoneKind
from livinglab.domain.privacy import Precision, PrivacyRule
from livinglab.errors import SettingsError
from livinglab.wire.routes import Route

LOCAL_WINDOW = 10_000
"""In-flight window of the broker that the lab starts itself. [messages]"""
SHORTEST_RETENTION = 24
"""Two years: nothing that an Initiative changed can be told from the seasons by less. [months]"""
UNKNOWN_WINDOW = 20
"""In-flight window assumed of a broker that the lab does not know: mosquitto's default."""


class Settings(BaseSettings):
    """Every ``LIVINGLAB_*`` variable, from the environment or a file `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="LIVINGLAB_",
        env_file=".env",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    data: Path = Path("./lab-data")
    """Folder of everything embedded: Readings, civic data, the Vault, the broker's queue."""

    city: Path | None = None
    """City file (TOML): zones, places, categories, routes. Unset: the town's, or an empty city."""

    readings: str = ""
    """Where Readings are kept: `duckdb:PATH`, `influxdb://HOST:PORT/ORG/BUCKET` (`influxdbs:` over
    TLS), or `memory:`. Empty: DuckDB in the data folder."""

    influxdb_token_file: Path | None = None
    """File that holds a token which may read and write the bucket, and nothing else."""

    civic: str = ""
    """Where civic data are kept: `postgresql://USER:PASSWORD@HOST/DATABASE`, `sqlite:///PATH`, or
    `memory:`. Empty: SQLite in the data folder."""

    vault: str = ""
    """Where contact data are kept, in a database of their own: as for civic data. Empty: SQLite in
    the data folder."""

    media: str = ""
    """Where photos are kept: a folder, or `memory:`. Empty: in the data folder."""

    addresses: str = ""
    """Where addresses are looked up beside the names of Places and Zones: a CSV file (columns
    `label`, or `street`, `number`, `postcode` and `city`; `lat` and `lon`), a GeoJSON file, or the
    URL of a Nominatim server. Empty: these names only."""

    smtp: str = ""
    """Mail server that takes letters to citizens: `smtp://[USER@]HOST[:PORT]` (with STARTTLS where
    it is offered) or `smtps://…`. Empty: no letters are sent, and what is new waits. Needs
    `LIVINGLAB_PUBLIC_URL`."""

    smtp_password_file: Path | None = None
    """File that holds the password of the mail server's user and nothing else."""

    smtp_from: str = ""
    """Address that letters come from. Empty: `lab@` and the host of the public URL."""

    sms: str = ""
    """Address of the gateway that takes short messages to citizens: `https://…`, where each is
    posted as JSON (`to`, `text`, `id`). Empty: none are sent."""

    sms_secret_file: Path | None = None
    """File that holds what the gateway's calls, and ours, are signed with. Unset: `POST /sms` is
    closed."""

    broker: str = "local"
    """`local` starts one; else `mqtt://HOST:PORT` or `mqtts://HOST:PORT`."""

    broker_window: int | None = Field(default=None, ge=1, le=65_535)
    """The broker's in-flight window [messages]. Unset: 10,000 if `local` (1,000 if that is
    nats-server), else 20."""

    broker_user: str | None = None
    """User name for the broker."""

    broker_password_file: Path | None = None
    """File that holds the broker's password and nothing else."""

    broker_ca: Path | None = None
    """PEM file of the authority that signed the broker's certificate. Unset: the system's."""

    client_id: str = "livinglab-ingest"
    """MQTT client id of ingest. It names the persistent session: change it and messages wait for
    nobody; use it twice and the two push each other out."""

    public_url: str | None = None
    """Base of every link that leaves the lab. Unset: taken from the request."""

    provision_limit: int = Field(default=100, ge=0)
    """Unknown Things that one route may introduce in an hour where it does not confirm them; the
    messages of more are quarantined."""

    quarantine_mb: int = Field(default=256, ge=1)
    """Refused payload that is kept [MiB]; beyond it messages are counted by route and reason."""

    post_limit: int = Field(default=20, ge=1)
    """Observations that one Contributor, or one network of the size /24, may post in a minute."""

    key_limit: int = Field(default=60_000, ge=1)
    """Observations that one key may hand over in a minute: gateways and staff post for many."""

    samples: Path = Path("../shared/data")
    """Folder of sample data for tests; they skip what is not there."""

    log: Literal["auto", "console", "json"] = "auto"
    """Form of the log. `auto`: colours on a terminal, JSON elsewhere."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged at all."""

    def broker_password(self) -> str | None:
        """Read the broker's password from its file."""
        return _secret("LIVINGLAB_BROKER_PASSWORD_FILE", self.broker_password_file)

    def smtp_password(self) -> str | None:
        """Read the mail server's password from its file."""
        return _secret("LIVINGLAB_SMTP_PASSWORD_FILE", self.smtp_password_file)

    def sms_secret(self) -> str | None:
        """Read what calls of the SMS gateway are signed with."""
        return _secret("LIVINGLAB_SMS_SECRET_FILE", self.sms_secret_file)

    def influxdb_token(self) -> str | None:
        """Read InfluxDB's token from its file."""
        return _secret("LIVINGLAB_INFLUXDB_TOKEN_FILE", self.influxdb_token_file)

    @property
    def window(self) -> int:
        """The in-flight window that ingest may count on. [messages]"""
        if self.broker_window is not None:
            return self.broker_window
        return LOCAL_WINDOW if self.broker == "local" else UNKNOWN_WINDOW


def _secret(setting: str, path: Path | None) -> str | None:
    """Read what a file holds, without the end of its line."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(
            setting, f"{path} cannot be read ({problem})", "name a readable file that holds it"
        ) from error


def read_settings(**overrides: object) -> Settings:
    """Read the settings; *overrides* are what the command line said.

    Raises:
        SettingsError: Naming the variable, what is wrong with it, and what it may be.
    """
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        first = error.errors()[0]
        name = f"LIVINGLAB_{'_'.join(str(part) for part in first['loc'])}".upper()
        raise SettingsError(
            name, first["msg"], f"it is now {str(first['input'])!r}; see `livinglab settings`"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CityFile:
    """What a city decided: its areas, Places, themes and the routes of its Things."""

    city: City
    zones: tuple[Zone, ...] = ()
    places: tuple[Place, ...] = ()
    categories: Mapping[str, Category]
    routes: tuple[Route, ...]
    responsibilities: tuple[Responsibility, ...] = ()


DEFAULT_CATEGORIES = (
    Category(
        key="air",
        label="Air and smell",
        reach_m=300,
        privacy=PrivacyRule(cell_m=250),
        properties=("no2", "pm10", "pm25", "o3", "so2"),
    ),
    Category(
        key="traffic",
        label="Traffic",
        reach_m=150,
        privacy=PrivacyRule(precision=Precision.EXACT),
        properties=("vehicle_flow", "occupancy", "vehicle_speed"),
    ),
    Category(
        key="noise",
        label="Noise",
        reach_m=200,
        privacy=PrivacyRule(precision=Precision.ZONE, personal=True),
        properties=("noise_level",),
    ),
    Category(
        key="street", label="Street and pavement", privacy=PrivacyRule(precision=Precision.EXACT)
    ),
    Category(key="bus", label="Buses and stops", privacy=PrivacyRule(precision=Precision.EXACT)),
    Category(key="other", label="Something else", reach_m=150),
)
"""Themes of a city that named none."""

DEFAULT_ROUTES = (Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab"),)
"""Routes of a city that named none: the lab's own Things."""


def empty_city() -> CityFile:
    """Return the city of a lab that was told nothing."""
    return CityFile(
        city=City(key="city", name="Unnamed city", timezone="UTC"),
        categories={row.key: row for row in DEFAULT_CATEGORIES},
        routes=DEFAULT_ROUTES,
    )


def read_city(path: Path) -> CityFile:
    """Read a city file.

    Raises:
        SettingsError: Naming the file, the table and what to change.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            "LIVINGLAB_CITY",
            f"{path} cannot be read ({error.strerror})",
            "name a readable TOML file",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"is not TOML: {error}", "mend that line") from error
    return city_from(document, str(path))


def city_from(document: Mapping[str, Any], source: str) -> CityFile:
    """Make a CityFile of a parsed document; *source* names it in errors."""
    categories = tuple(_each(document, "categories", source, _category)) or DEFAULT_CATEGORIES
    return CityFile(
        city=_checked(source, "city", _city, _with_retention(document)),
        zones=tuple(_each(document, "zones", source, _zone)),
        places=tuple(_each(document, "places", source, _place)),
        categories={row.key: row for row in categories},
        routes=tuple(_each(document, "routes", source, _route)) or DEFAULT_ROUTES,
        responsibilities=tuple(_each(document, "responsibilities", source, _responsibility)),
    )


def route_from(row: Mapping[str, Any], source: str) -> Route:
    """Make a Route of a route file, which may leave out what only matters on a broker.

    Raises:
        SettingsError: Naming what is wrong.
    """
    return _checked(
        source, "route", _route, {"name": "file", "filter": "#", "format": "json", **row}
    )


Made = TypeVar("Made")
Row = Mapping[str, Any]


def _each(document: Row, table: str, source: str, make: Callable[[Row], Made]) -> list[Made]:
    rows = document.get(table, [])
    made = [_checked(source, f"{table}[{n}]", make, row) for n, row in enumerate(rows)]
    seen: set[object] = set()
    for n, one in enumerate(made):
        key = getattr(one, "key", None) or getattr(one, "name", None)
        if key is not None and key in seen:
            raise SettingsError(
                source, f"{table}[{n}] repeats the key {key!r}", "give each its own"
            )
        seen.add(key)
    return made


def _checked(source: str, where: str, make: Callable[[Row], Made], row: Row) -> Made:
    """Make one thing of one table, or say which table of the file is wrong and why."""
    try:
        return make(row)
    except KeyError as error:
        raise SettingsError(source, f"{where} lacks {error.args[0]!r}", "add it") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(source, f"{where}: {error}", "correct it") from error


def _with_retention(document: Row) -> Row:
    """Return the city's table with what the table `retention` says beside it."""
    return {**document.get("city", {}), "retention": document.get("retention", {})}


def _city(row: Row) -> City:
    months = row["retention"].get("months")
    if months is not None and (type(months) is not int or months < SHORTEST_RETENTION):
        raise ValueError(
            f"retention.months is {months!r}; Readings are kept for {SHORTEST_RETENTION} at least"
        )
    try:
        ZoneInfo(row.get("timezone", "UTC"))
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"there is no time zone {row['timezone']!r}") from error
    box = row.get("box")
    return City(
        key=_key(row),
        name=row["name"],
        timezone=row.get("timezone", "UTC"),
        box=Box(*(float(edge) for edge in box)) if box else None,
        languages=tuple(row.get("languages", ("en",))),
        retention_months=months,
    )


def _zone(row: Row) -> Zone:
    return Zone(
        key=_key(row),
        kind=ZoneKind(row["kind"]),
        name=row["name"],
        residents=int(row["residents"]),
        counted=row["counted"]
        if isinstance(row["counted"], date)
        else date.fromisoformat(row["counted"]),
        ring=tuple(_point(corner[0], corner[1]) for corner in row["ring"]),
    )


def _place(row: Row) -> Place:
    point = _point(row["lon"], row["lat"])
    return Place(
        key=_key(row),
        name=row["name"],
        lon=point.lon,
        lat=point.lat,
        radius_m=float(row.get("radius_m", THING_RADIUS_M)),
        origin=PlaceOrigin.CITY,
    )


def _category(row: Row) -> Category:
    unknown = [key for key in row.get("properties", ()) if key not in OBSERVED_PROPERTIES]
    if unknown:
        raise ValueError(f"there is no ObservedProperty {unknown[0]!r}")
    return Category(
        key=_key(row),
        label=row["label"],
        group=str(row.get("group", "")),
        description=str(row.get("description", "")),
        reach_m=float(row.get("reach_m", 100)),
        near_m=float(row.get("near_m", NEAR_M)),
        attributes=tuple(_attribute(one) for one in row.get("attributes", ())),
        privacy=PrivacyRule(
            precision=Precision(row.get("precision", "cell")),
            cell_m=float(row.get("cell_m", 250)),
            personal=bool(row.get("personal", False)),
        ),
        properties=tuple(row.get("properties", ())),
    )


def _attribute(row: Row) -> Attribute:
    unknown = row.keys() - {one.name for one in fields(Attribute)}
    if unknown:
        raise ValueError(f"there is no {min(unknown)!r} in an attribute")
    code = row["code"]
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", code):
        raise ValueError(f"code {code!r} must be letters, digits, dot, hyphen or underscore")
    datatype = Datatype(row.get("datatype", "string"))
    values = {str(key): str(name) for key, name in row.get("values", {}).items()}
    if (datatype in {Datatype.ONE_OF, Datatype.SOME_OF}) != bool(values):
        raise ValueError(f"attribute {code!r}: a list has values, and nothing else has")
    return Attribute(
        code=code,
        question=row["question"],
        datatype=datatype,
        required=bool(row.get("required", False)),
        hint=str(row.get("hint", "")),
        asked=bool(row.get("asked", True)),
        values=values,
    )


def _responsibility(row: Row) -> Responsibility:
    return Responsibility(
        category=row["category"],
        zone=row.get("zone"),
        organisation=row["organisation"],
        reason=row["reason"],
        answer_within=timedelta(days=float(row.get("answer_within_days", 5))),
    )


def _route(row: Row) -> Route:
    unknown = row.keys() - {one.name for one in fields(Route)}
    if unknown:
        raise ValueError(f"there is no {min(unknown)!r} in a route")
    for name in row.get("units", {}):
        if name not in OBSERVED_PROPERTIES:
            raise ValueError(f"there is no ObservedProperty {name!r}")
    return Route(
        name=row["name"],
        filter=row["filter"],
        format=row["format"],
        scheme=row.get("scheme", row["name"]),
        identity=row.get("identity"),
        defaults={name: str(value) for name, value in row.get("defaults", {}).items()},
        units={name: str(unit) for name, unit in row.get("units", {}).items()},
        timezone=row.get("timezone"),
        confirm=bool(row.get("confirm", False)),
        moving=bool(row.get("moving", False)),
        options=row.get("options", {}),
    )


def _point(lon: object, lat: object) -> Point:
    if not isinstance(lon, (int, float)) or not isinstance(lat, (int, float)):
        raise TypeError(f"[{lon!r}, {lat!r}] is not a position")
    if not is_point(lon, lat):
        raise ValueError(f"[{lon}, {lat}] is no longitude and latitude")
    return Point(float(lon), float(lat))


def _key(row: Row) -> str:
    key = row["key"]
    if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:%-]*", key):
        raise ValueError(f"key {key!r} must be letters, digits, dot, colon, hyphen or underscore")
    return key
