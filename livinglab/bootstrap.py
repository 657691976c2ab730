"""Bootstrap: ports meet adapters here and nowhere else."""

import fcntl
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from livinglab.adapters.clocks import SettableClock, SystemClock
from livinglab.config import CityFile, Settings, empty_city, read_city
from livinglab.domain.answers import Responsibility
from livinglab.domain.observations import Category
from livinglab.domain.places import City, PlaceOrigin, zone_of
from livinglab.errors import LabBusyError, SettingsError, StoreUnavailableError
from livinglab.ports import (
    Broker,
    CivicStore,
    Clock,
    Gazetteer,
    Mailer,
    MediaFetcher,
    MediaStore,
    Publisher,
    ReadingStore,
    UnitOfWork,
    Vault,
)
from livinglab.services.importing import Importer, import_route, keep_table, kept_routes
from livinglab.services.locating import known_names
from livinglab.services.mailing import Office
from livinglab.services.receiving import Receiver, http_routes
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.wire.routes import Route
from livinglab.wire.table import Table
from livinglab.wire.topics import Router

MQTT_PORT = 1883
SEALED = "sealed"
"""Of the data folder: the months that came to rest, as Parquet."""


@dataclass(kw_only=True)
class Lab:
    """Everything that services of one city share."""

    settings: Settings
    city: City
    categories: Mapping[str, Category]
    routes: tuple[Route, ...]
    responsibilities: tuple[Responsibility, ...]
    clock: Clock
    readings: ReadingStore
    civic: CivicStore
    vault: Vault
    media: MediaStore
    fetcher: MediaFetcher
    gazetteer: Gazetteer
    mailer: Mailer | None = None
    """None: no letters are sent."""
    texter: Mailer | None = None
    """The same for telephones."""
    even_clock: bool = True
    """Whether its clock runs evenly; on one that leaps, when a message came says nothing."""
    resources: ExitStack = field(default_factory=ExitStack)
    """What `close` lets go of, last opened first."""

    def work(self, *, write: bool = True) -> AbstractContextManager[UnitOfWork]:
        """Open a transaction on civic data: kept on a clean exit, undone otherwise."""
        return self.civic.work(write=write)

    def close(self) -> None:
        """Let go of everything."""
        self.resources.close()


def settable_clock(start: datetime) -> SettableClock:
    """Return a clock for a simulated town to drive."""
    return SettableClock(start)


def open_lab(
    settings: Settings, *, city: CityFile | None = None, clock: Clock | None = None
) -> Lab:
    """Open the stores that the settings name, creating and migrating embedded ones.

    Args:
        settings: What was chosen.
        city: The city, if the caller knows it already (a town); else the settings' file.
        clock: Another clock than the machine's.

    Raises:
        SettingsError: A setting names no store.
        LabBusyError: Another lab holds the data folder.
        StoreUnavailableError: A store does not answer.
    """
    city = city or (read_city(settings.city) if settings.city else empty_city())
    with ExitStack() as opening:
        if _embedded(settings):
            opening.enter_context(_FolderLock(settings.data))
        readings = _readings(settings)
        opening.callback(readings.close)
        civic = _civic(settings)
        opening.callback(civic.close)
        vault = open_vault(settings)
        opening.callback(vault.close)
        media = open_media(settings)
        opening.callback(media.close)
        fetcher = _fetcher()
        opening.callback(fetcher.close)
        _adopt(city, civic)
        gazetteer = _gazetteer(settings, city, civic)
        opening.callback(gazetteer.close)
        return Lab(
            settings=settings,
            city=city.city,
            categories=city.categories,
            routes=city.routes,
            responsibilities=city.responsibilities,
            clock=clock or SystemClock(),
            readings=readings,
            civic=civic,
            vault=vault,
            media=media,
            fetcher=fetcher,
            gazetteer=gazetteer,
            mailer=_mailer(settings),
            texter=_texter(settings),
            resources=opening.pop_all(),
        )


def _embedded(settings: Settings) -> bool:
    chosen = (settings.readings, settings.civic, settings.vault)
    return any(not one for one in chosen)


class _FolderLock:
    """Hold the data folder, so that a second lab says so instead of breaking something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.file = (self.folder / "lab.lock").open("a")
        except OSError as error:
            raise SettingsError(
                "LIVINGLAB_DATA",
                f"{self.folder} cannot be written ({error.strerror})",
                "name a folder that can",
            ) from error
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.close()
            raise LabBusyError(
                f"data folder {self.folder}",
                "another lab uses it",
                "stop that one, or choose another folder with --data",
            ) from error

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _readings(settings: Settings) -> ReadingStore:
    from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore  # noqa: PLC0415 - slow to import
    from livinglab.adapters.timeseries.memory import MemoryReadingStore  # noqa: PLC0415 - likewise

    if settings.readings == "memory:":
        return MemoryReadingStore()
    if not settings.readings:
        return DuckDBReadingStore(settings.data / "readings.duckdb", sealed=settings.data / SEALED)
    if settings.readings.startswith("duckdb:"):
        path = Path(settings.readings.removeprefix("duckdb:"))
        return DuckDBReadingStore(path, sealed=settings.data / SEALED)
    if settings.readings.startswith(("influxdb://", "influxdbs://")):
        return _influxdb(settings)
    raise SettingsError(
        "LIVINGLAB_READINGS",
        f"{settings.readings!r} names no store",
        "use duckdb:PATH, influxdb://HOST:PORT/ORG/BUCKET or memory:",
    )


def _influxdb(settings: Settings) -> ReadingStore:
    from livinglab.adapters.timeseries.influxdb import InfluxDBReadingStore  # noqa: PLC0415 - slow

    url = urlsplit(settings.readings)
    org, _, bucket = url.path.strip("/").partition("/")
    if not (url.hostname and org and bucket):
        raise SettingsError(
            "LIVINGLAB_READINGS", "names no bucket", "use influxdb://HOST:PORT/ORG/BUCKET"
        )
    token = settings.influxdb_token()
    if token is None:
        raise SettingsError(
            "LIVINGLAB_INFLUXDB_TOKEN_FILE", "is not set", "name the file that holds a token"
        )
    scheme = "https" if url.scheme == "influxdbs" else "http"
    return InfluxDBReadingStore(
        f"{scheme}://{url.hostname}:{url.port or 8086}",
        org=unquote(org),
        bucket=unquote(bucket),
        token=token,
    )


def _civic(settings: Settings) -> CivicStore:
    if settings.civic == "memory:":
        from livinglab.adapters.relational.memory import MemoryCivicStore  # noqa: PLC0415 - slow

        return MemoryCivicStore()
    from livinglab.adapters.relational.unit_of_work import SqlCivicStore  # noqa: PLC0415 - slow

    if settings.civic:
        return SqlCivicStore.open(settings.civic)
    return SqlCivicStore.open(f"sqlite:///{_civic_file(settings)}", migrate=True)


def open_vault(settings: Settings) -> Vault:
    """Open the Vault alone.

    Raises:
        StoreUnavailableError: It does not answer.
    """
    if settings.vault == "memory:":
        from livinglab.adapters.relational.memory import MemoryVault  # noqa: PLC0415 - slow

        return MemoryVault()
    from livinglab.adapters.relational.vault import SqlVault  # noqa: PLC0415 - slow

    return SqlVault(settings.vault or f"sqlite:///{settings.data / 'vault.sqlite'}")


def open_media(settings: Settings) -> MediaStore:
    """Open the photos alone.

    Raises:
        StoreUnavailableError: Their folder cannot be written.
    """
    from livinglab.adapters.media import FolderMediaStore, MemoryMediaStore  # noqa: PLC0415 - slow

    if settings.media == "memory:":
        return MemoryMediaStore()
    return FolderMediaStore(Path(settings.media) if settings.media else settings.data / "media")


def _fetcher() -> MediaFetcher:
    from livinglab.adapters.fetching import HttpMediaFetcher  # noqa: PLC0415 - slow to import

    return HttpMediaFetcher()


def _gazetteer(settings: Settings, city: CityFile, civic: CivicStore) -> Gazetteer:
    from livinglab.adapters import addresses  # noqa: PLC0415 - slow to import

    names = addresses.NamesGazetteer(lambda: known_names(civic))
    if not settings.addresses:
        return names
    if settings.addresses.startswith(("http://", "https://")):
        asked = addresses.NominatimGazetteer(settings.addresses, box=city.city.box)
        return addresses.JoinedGazetteer(asked, names)
    return addresses.JoinedGazetteer(addresses.FileGazetteer(Path(settings.addresses)), names)


def _mailer(settings: Settings) -> Mailer | None:
    from livinglab.adapters import mail  # noqa: PLC0415 - seldom needed

    if not settings.smtp:
        return None
    if not settings.public_url:
        raise SettingsError(mail.SETTING, "needs LIVINGLAB_PUBLIC_URL", "every letter has links")
    if settings.smtp == "memory:":
        return mail.MemoryMailer()
    host = urlsplit(settings.public_url).hostname or "localhost"
    sender = settings.smtp_from or f"lab@{host}"
    return mail.SmtpMailer(settings.smtp, sender=sender, password=settings.smtp_password())


def _texter(settings: Settings) -> Mailer | None:
    from livinglab.adapters import sms  # noqa: PLC0415 - seldom needed

    if not settings.sms:
        return None
    secret = settings.sms_secret()
    if not secret:
        raise SettingsError(
            sms.SETTING, "needs LIVINGLAB_SMS_SECRET_FILE", "messages are signed with it"
        )
    return sms.HttpTexter(settings.sms, secret)


def office_of(lab: Lab) -> Office | None:
    """Return where the letters of a lab come from; None: it sends none."""
    if lab.mailer is None and lab.texter is None:
        return None
    return Office(
        city=lab.city,
        categories=lab.categories,
        base=(lab.settings.public_url or "").rstrip("/"),
        mailer=lab.mailer,
        texter=lab.texter,
        vault=lab.vault,
    )


def _adopt(plan: CityFile, civic: CivicStore) -> None:
    """Enter the Zones and Places of the city file that the database does not have yet."""
    with civic.work() as work:
        known = {zone.key for zone in work.zones.all()}
        for zone in plan.zones:
            if zone.key not in known:
                work.zones.add(replace(zone))
        zones = work.zones.all()
        places = {place.key for place in work.places.all()}
        for place in plan.places:
            if place.key not in places:
                around = zone_of(place.point, zones)
                work.places.add(replace(place, zone=around.key if around else None))


def open_recorder(lab: Lab, routes: Sequence[Route] | None = None) -> Recorder:
    """Bind recording to a lab's ports, and to other routes than the city's where they are given."""
    return Recorder(
        router=Router(lab.routes if routes is None else routes),
        registry=Registry(
            civic=lab.civic,
            provision_limit=lab.settings.provision_limit,
            city_box=lab.city.box,
        ),
        readings=lab.readings,
        civic=lab.civic,
        clock=lab.clock,
        quarantine_cap=lab.settings.quarantine_mb << 20,
        keeps_since=lab.city.keeps_since,
    )


def open_receiver(lab: Lab) -> Receiver:
    """Bind receiving over HTTP to a lab's ports."""
    return Receiver(open_recorder(lab, http_routes(lab.routes)))


def open_replayer(lab: Lab) -> Recorder:
    """Bind recording to all that may wait in quarantine: messages, and rows of bulk files."""
    routes = [*lab.routes, *http_routes(lab.routes), *kept_routes(lab.settings.data)]
    return open_recorder(lab, routes)


def open_importer(lab: Lab, table: Table) -> Importer:
    """Bind importing to a lab's ports; the table is kept, so that its rows can be replayed."""
    keep_table(table, lab.settings.data)
    return Importer(open_recorder(lab, [import_route(table)]), table)


def open_rehearsal(settings: Settings, folder: Path) -> Lab:
    """Open an empty lab with the same rules in a folder of its own, to try something out."""
    apart = {
        "data": folder,
        "readings": "",
        "civic": "memory:",
        "vault": "memory:",
        "media": "memory:",
    }
    return open_lab(settings.model_copy(update=apart))


def open_sandbox(lab: Lab) -> Lab:
    """Return a lab of the same city in memory, whose postings reach nobody and go with it."""
    apart = {
        **dict.fromkeys(("readings", "civic", "vault", "media"), "memory:"),
        "city": None,
        "addresses": "",
        "smtp": "",
        "sms": "",
        "sms_secret_file": None,
    }
    with lab.work(write=False) as work:
        plan = CityFile(
            city=lab.city,
            zones=tuple(replace(one) for one in work.zones.all()),
            places=tuple(
                replace(one) for one in work.places.all() if one.origin is PlaceOrigin.CITY
            ),
            categories=lab.categories,
            routes=lab.routes,
            responsibilities=lab.responsibilities,
        )
    sandbox = open_lab(lab.settings.model_copy(update=apart), city=plan, clock=lab.clock)
    sandbox.gazetteer = lab.gazetteer  # a second one would read the file again
    return sandbox


def write_parquet(source: Path, target: Path, columns: Mapping[str, str]) -> None:
    """Turn a CSV file into a Parquet file: see `adapters.timeseries.parquet`."""
    from livinglab.adapters.timeseries import parquet  # noqa: PLC0415 - slow to import

    parquet.write_parquet(source, target, columns)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker listens, and how to enter."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = None
    window: int | None = None
    """Its in-flight window, where we started it ourselves. [messages]"""


def broker_address(settings: Settings) -> BrokerAddress:
    """Read where the settings' broker is.

    Raises:
        SettingsError: The URL is no MQTT address.
    """
    url = urlsplit(settings.broker)
    if url.scheme not in {"mqtt", "mqtts"} or not url.hostname:
        raise SettingsError(
            "LIVINGLAB_BROKER",
            f"{settings.broker!r} is no broker",
            "use local, mqtt://HOST:PORT or mqtts://HOST:PORT",
        )
    tls = url.scheme == "mqtts"
    port = url.port or (8883 if tls else 1883)
    return BrokerAddress(url.hostname, port, tls, settings.broker_user, settings.broker_password())


def open_broker(settings: Settings, at: BrokerAddress) -> Broker:
    """Return the subscriber that ingest drinks from; it connects when it is first asked."""
    from livinglab.adapters.mqtt.subscriber import BulkSubscriber  # noqa: PLC0415 - likewise

    return BulkSubscriber(
        host=at.host,
        port=at.port,
        client_id=settings.client_id,
        window=at.window or settings.window,
        user=at.user,
        password=at.password,
        tls=_tls(settings) if at.tls else None,
        filters_file=settings.data / "subscribed.json",
    )


def open_publisher(settings: Settings, at: BrokerAddress, client_id: str) -> Publisher:
    """Return a connected publisher.

    Raises:
        BrokerUnavailableError: Nobody answers there, or refuses us.
    """
    from livinglab.adapters.mqtt.client import PahoPublisher  # noqa: PLC0415 - likewise

    return PahoPublisher(
        host=at.host,
        port=at.port,
        client_id=client_id,
        user=at.user,
        password=at.password,
        tls=_tls(settings) if at.tls else None,
    )


def _tls(settings: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.broker_ca)


def open_civic(settings: Settings) -> CivicStore:
    """Open civic data alone, beside a lab that may be running.

    Raises:
        StoreUnavailableError: There is none, or its schema is behind.
    """
    if settings.civic == "memory:" or (not settings.civic and not _civic_file(settings).exists()):
        raise StoreUnavailableError(
            "civic data",
            f"{settings.data} holds no lab",
            "start one with `livinglab up`, or name it with --data",
        )
    from livinglab.adapters.relational.unit_of_work import SqlCivicStore  # noqa: PLC0415 - slow

    return SqlCivicStore.open(settings.civic or f"sqlite:///{_civic_file(settings)}")


def upgrade(settings: Settings) -> None:
    """Bring the civic database and the Vault to this version's schema, creating them if needed."""
    from livinglab.adapters.relational.unit_of_work import SqlCivicStore  # noqa: PLC0415 - slow

    if not settings.civic:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    SqlCivicStore.open(settings.civic or f"sqlite:///{_civic_file(settings)}", migrate=True).close()
    open_vault(settings).close()


def _civic_file(settings: Settings) -> Path:
    return settings.data / "civic.sqlite"


def parts(settings: Settings) -> dict[str, Callable[[], str]]:
    """Return a look at each part that a lab with these settings needs, by name.

    A look says what it found, or raises a LabError that says what to do.
    """
    return {
        "python": lambda: f"Python {sys.version.split()[0]}",
        "data folder": lambda: _look_at_folder(settings.data),
        "broker": lambda: _look_at_broker(settings),
        "Readings": lambda: _look_at_readings(settings),
        "civic data": lambda: _look_at_civic(settings),
    }


def _look_at_folder(folder: Path) -> str:
    if not folder.exists():
        return f"{folder} will be made"
    with _FolderLock(folder):
        return f"{folder} is free"


def _look_at_broker(settings: Settings) -> str:
    from livinglab.adapters.mqtt.local import find_broker  # noqa: PLC0415 - slow

    if settings.broker == "local":
        return find_broker()
    at = broker_address(settings)
    publisher = open_publisher(settings, at, "livinglab-doctor")
    try:
        return publisher.ping()
    finally:
        publisher.close()


def _look_at_readings(settings: Settings) -> str:
    if not settings.readings and not (settings.data / "readings.duckdb").exists():
        return "DuckDB, not begun yet"
    store = _readings(settings)
    try:
        return f"{store.ping()}, {store.count():,} Readings"
    finally:
        store.close()


def _look_at_civic(settings: Settings) -> str:
    if not settings.civic and not _civic_file(settings).exists():
        return "SQLite, not begun yet"
    store = open_civic(settings)
    try:
        return store.ping()
    finally:
        store.close()


@contextmanager
def start_local_broker(
    settings: Settings, *, port: int | None, lan: bool = False
) -> Iterator[BrokerAddress]:
    """Run a broker of the lab's own for as long as the context lasts.

    Args:
        settings: Whose data folder keeps the broker's queue.
        port: To listen on; None takes MQTT's own, or a free one where that is taken.
        lan: Open it to the network, with a user for gateways.

    Raises:
        PortBusyError: The port that was asked for is taken.
        BrokerUnavailableError: There is no broker on this machine.
    """
    from livinglab.adapters.mqtt import local  # noqa: PLC0415 - slow

    host = "0.0.0.0" if lan else "127.0.0.1"  # noqa: S104 - asked for
    if port is None:
        port = MQTT_PORT if local.port_is_free(host, MQTT_PORT) else local.free_port()
    login = local.login_for_gateways() if lan else None
    broker = local.LocalBroker(
        settings.data.resolve() / "broker",
        port=port,
        window=settings.window,
        host=host,
        logins=(login,) if login else (),
    )
    broker.start()
    try:
        yield BrokerAddress(
            "127.0.0.1",
            port,
            user=login.user if login else None,
            password=login.password if login else None,
            window=broker.window,
        )
    finally:
        broker.stop()
