"""Facade: what clients of GeoReport v2 ask, read and answered by the lab's own services."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData, UploadFile

from api import public
from api.forms import photos
from api.open311 import telling
from api.routes.places import read_box
from livinglab.bootstrap import Lab
from livinglab.domain.access import ApiKey
from livinglab.domain.access import Scope as KeyScope
from livinglab.domain.contributors import Contact
from livinglab.domain.geometry import Point, is_point
from livinglab.domain.incidents import Outcome, Phase
from livinglab.domain.observations import (
    Category,
    Channel,
    Datatype,
    Observation,
    Status,
    Visibility,
)
from livinglab.domain.photos import MOST_PHOTOS
from livinglab.domain.places import Place
from livinglab.domain.readings import Interval
from livinglab.errors import (
    ForbiddenError,
    InvalidError,
    LabError,
    LimitExceededError,
    NotFoundError,
    UnauthorizedError,
)
from livinglab.ports import ObservationFilter, UnitOfWork
from livinglab.services import deciding, voicing
from livinglab.services.locating import looked_up
from livinglab.services.observing import Draft, contributor_of, observe
from livinglab.services.picturing import attach, developed, public_photos
from livinglab.services.questioning import LONGEST

WINDOW = timedelta(days=90)
MOST = 1_000
LONGEST_TEXT = 4_000
SANDBOX_RETRY_S = 3_600
Find = Callable[[str], ApiKey | None]
"""Secret → the key that it opens."""
MODERATED: Mapping[str, Outcome | None] = {
    "CLOSED": None,
    "FIXED": Outcome.FIXED,
    "DUPLICATE": Outcome.DUPLICATE,
    "NOT_COUNCILS_RESPONSIBILITY": Outcome.NOT_OURS,
    "NO_FURTHER_ACTION": None,
    "CANCELLED": Outcome.NOT_NEEDED,
}
"""Status of a posted update → what it closes a request with; None: it does not tell."""
PHASES = {
    "INVESTIGATING": Phase.INVESTIGATING,
    "PLANNED": Phase.PLANNED,
    "ACTION_SCHEDULED": Phase.PLANNED,
    "INTERNAL_REFERRAL": Phase.INVESTIGATING,
    "IN_PROGRESS": Phase.IN_PROGRESS,
    "FOR_TRIAGE": Phase.INVESTIGATING,
}
"""Likewise → how far the city has come."""
PHOTOS = re.compile(r"media(\[\])?|photo\d?")
"""Names under which clients send files; these win over `media_url`."""
OPEN = frozenset({"OPEN", "REOPEN", "UNCHANGED"})


class Facade:
    """What the routes ask of a lab."""

    def __init__(self, lab: Lab, find_key: Find, *, most: int | None = None) -> None:
        """Serve a lab.

        Args:
            lab: What is served; a sandbox has one of its own.
            find_key: Who a secret belongs to.
            most: Requests that it takes until it starts anew; None: all.
        """
        self.lab, self.find_key, self.most = lab, find_key, most

    @property
    def codes(self) -> dict[str, Category]:
        """The categories by their service codes."""
        return telling.codes(self.lab.categories)

    def category(self, code: str) -> Category:
        """Return the category of a service.

        Raises:
            NotFoundError: There is none.
        """
        found = self.codes.get(code)
        if found is None:
            raise NotFoundError("service_code", code)
        return found

    def definition(self, code: str) -> dict[str, Any]:
        """Return what a service asks.

        Raises:
            NotFoundError: There is no such service, or it asks nothing.
        """
        found = self.category(code)
        if not found.attributes:
            raise NotFoundError("service definition", code)
        return telling.definition(found)

    # --- asking

    def requests(self, given: Mapping[str, str], base: str) -> list[dict[str, Any]]:
        """List service requests; of an id, that one also where lists leave it out.

        Args:
            given: What was asked.
            base: What links to photos begin with.
        """
        told = {name: value for name, value in given.items() if value.strip()}
        with self.lab.work(write=False) as work:
            if ids := told.get("service_request_id"):
                found = [one for id_ in _split(ids) if (one := _by_id(id_, work))]
            else:
                found = work.observations.page(
                    self._filter(told), limit=_size(told), skip=_skip(told)
                )
            extensions = told.get("extensions", "").lower() == "true"
            pictures = public_photos(found, self.lab.categories, work)
            rows = []
            for one in found:
                row = self._row(one, work, extensions=extensions)
                first = next(iter(pictures.get(one.id, ())), None)
                if row is not None and first is not None:
                    row["media_url"] = base + public.photo(first)["url"]
                rows.append(row)
            return [one for one in rows if one]

    def _row(
        self, one: Observation, work: UnitOfWork, *, extensions: bool
    ) -> dict[str, Any] | None:
        category, place = self.lab.categories.get(one.category), work.places.get(one.place)
        if category is None or place is None:
            return None
        events = work.observations.events(one.id)
        notes = telling.status_notes(events)
        row = telling.request(one, category, place, self.lab.responsibilities, notes)
        if row is None or not extensions:
            return row
        return row | telling.extended(one, events)

    def _filter(self, told: Mapping[str, str]) -> ObservationFilter:
        wanted = self.codes
        if given := told.get("service_code"):
            wanted = {code: self.category(code) for code in _split(given)}
        itemised = tuple(one.key for one in wanted.values() if not one.privacy.personal)
        statuses = {Status(one) for one in _split(told.get("status", "")) if _is_status(one)}
        box = None
        if bbox := told.get("bbox"):
            box = read_box(bbox)
        return ObservationFilter(
            categories=itemised,
            status=statuses.pop() if len(statuses) == 1 else None,
            visibilities=(Visibility.PUBLIC,),
            occurred=None if _updated_asked(told) else self._window(told, "start_date", "end_date"),
            updated=self._window(told, "updated_after", "updated_before")
            if _updated_asked(told)
            else None,
            box=box,
        )

    def _window(self, told: Mapping[str, str], first: str, last: str) -> Interval:
        """Read two dates; one alone opens 90 days from it, none the last 90."""
        start, end = self._date(told, first), self._date(told, last)
        now = self.lab.clock.now()
        if start is None and end is None:
            start, end = now - WINDOW, now
        elif start is None and end is not None:
            start = end - WINDOW
        elif end is None and start is not None:
            end = start + WINDOW
        if start is None or end is None or end < start:
            raise InvalidError(last, f"must not lie before {first}")
        if end - start > WINDOW:
            raise InvalidError(last, f"lies more than 90 days after {first}")
        return Interval(start, end + timedelta(seconds=1))

    def _date(self, told: Mapping[str, str], name: str) -> datetime | None:
        """Read a time as clients write it: a + may arrive as a space, and the zone be left out."""
        text = told.get(name, "").strip()
        if not text:
            return None
        if len(text) > 6 and text[-6] == " ":  # noqa: PLR2004 - the length of +01:00
            text = f"{text[:-6]}+{text[-5:]}"
        try:
            found = datetime.fromisoformat(text)
            if found.tzinfo is None:
                found = found.replace(tzinfo=ZoneInfo(self.lab.city.timezone))
            return found.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidError(name, f"{text[:40]!r} is no date-time of ISO 8601") from error

    # --- posting

    def post(self, form: FormData, headers: Mapping[str, str]) -> dict[str, Any]:
        """Keep a service request."""
        key = self._key(form, headers, KeyScope.SUBMIT)
        told = _texts(form)
        code = told.get("service_code")
        if code is None:
            raise InvalidError("service_code", "service_code is required")
        category = self.category(code)
        text = told.get("description", "")
        if len(text) > LONGEST_TEXT:
            raise InvalidError("description", f"{LONGEST_TEXT} characters at the most")
        draft = Draft(
            client_key=_client_key(headers, key),
            category=category.key,
            text=text.strip(),
            point=_point(told),
            place=_address_id(told),
            address=told.get("address_string"),
            attributes=_attributes(form, category),
            channel=Channel.OPEN311,
            source=f"open311:{key.name}",
        )
        draft = looked_up(draft, self.lab.gazetteer, self.lab.civic)
        shown, missing = self._shown(form)
        with developed(shown, self.lab.media) as made, self.lab.work() as work:
            if self.most is not None and work.observations.count() >= self.most:
                raise LimitExceededError("requests in the sandbox", SANDBOX_RETRY_S)
            if draft.place is not None and work.places.get(draft.place) is None:
                raise InvalidError("address_id", f"there is no {draft.place!r}")
            device = told.get("device_id") or told.get("deviceid") or told.get("account_id")
            token = f"open311:{key.name}:{device}" if device else None
            now = self.lab.clock.now()
            found, _ = observe(draft, token, categories=self.lab.categories, work=work, now=now)
            attach(found, made, work, now)
            contact = _contact(told, found.contributor)
            if contact is not None:
                self.lab.vault.put(contact)
            place = work.places.get(found.place)
            notice = " ".join(filter(None, (self._notice(found, category, place), missing)))
            return {"service_request_id": str(found.id), "service_notice": notice}

    def _shown(self, form: FormData) -> tuple[Sequence[bytes], str]:
        """Return the photos that came, or lie where `media_url` says, and what is missing.

        A link that shows nothing, or may not be asked, costs its photo, never the report.

        Raises:
            InvalidError: There are too many.
        """
        files = photos(form, [name for name in form if PHOTOS.fullmatch(name)])
        urls = [one for one in form.getlist("media_url") if isinstance(one, str) and one.strip()]
        if files or not urls:
            return files, ""
        if len(urls) > MOST_PHOTOS:
            raise InvalidError("media_url", f"{MOST_PHOTOS} photos at the most")
        fetched: list[bytes] = []
        try:
            fetched += [self.lab.fetcher.fetch(one.strip()) for one in urls]
        except LabError as error:
            return fetched, f"Without photo: {error}"
        return fetched, ""

    def _notice(self, one: Observation, category: Category, place: Place | None) -> str:
        if place is None:
            return ""
        row = telling.request(one, category, place, self.lab.responsibilities, "")
        return row["service_notice"] if row else ""

    def _key(self, form: FormData, headers: Mapping[str, str], scope: KeyScope) -> ApiKey:
        kind, _, secret = headers.get("authorization", "").partition(" ")
        given = form.get("api_key")
        if isinstance(given, str) and given:
            secret = given
        elif kind.lower() != "bearer":
            secret = ""
        found = self.find_key(secret) if secret else None
        if found is None:
            raise UnauthorizedError("api_key is missing or not known")
        if not found.allows(scope):
            raise ForbiddenError(scope.value)
        return found

    # --- updates

    def updates(self, told: Mapping[str, str]) -> list[dict[str, Any]]:
        """List what became of public requests, oldest first."""
        if bool(told.get("start_date")) != bool(told.get("end_date")):
            raise InvalidError("end_date", "give both start_date and end_date, or none")
        window = self._window(told, "start_date", "end_date")
        public = {key for key, one in self.lab.categories.items() if not one.privacy.personal}
        rows: list[tuple[datetime, dict[str, Any]]] = []
        with self.lab.work(write=False) as work:
            events = work.observations.events_within(window, limit=MOST)
            rows += [
                (event.at, telling.update_of_status(event))
                for event in events
                if _is_public(work.observations.get(event.observation), public)
            ]
            for answer in work.responses.where(within=("published_at", window), limit=MOST):
                kind, _, key = answer.subject.partition(":")
                one = work.observations.get(UUID(key)) if kind == "observation" else None
                if one is not None and _is_public(one, public):
                    rows.append((answer.published_at, telling.update_of_response(answer, one)))
        rows.sort(key=lambda row: row[0])
        return [row for _, row in rows[:MOST]]

    def post_update(self, form: FormData, headers: Mapping[str, str]) -> dict[str, Any]:
        """Keep an update: of a moderator it changes the status, of others it is a Comment."""
        key = self._key(form, headers, KeyScope.SUBMIT)
        told = _texts(form)
        for name in ("service_request_id", "update_id", "status", "description"):
            if name not in told:
                raise InvalidError(name, f"{name} is required")
        status = told["status"].upper()
        if status not in MODERATED and status not in PHASES and status not in OPEN:
            raise InvalidError("status", f"{status!r} is no status of an update")
        with self.lab.work() as work:
            found = _by_id(told["service_request_id"], work)
            if found is None or found.visibility is Visibility.REMOVED:
                raise NotFoundError("service_request_id", told["service_request_id"])
            made = uuid5(NAMESPACE_URL, f"{key.name}/{told['update_id']}")
            if work.comments.one(id=made) is None:
                self._keep(found, key, status, told["description"], made, work)
        return {"update_id": str(made)}

    def _keep(
        self,
        one: Observation,
        key: ApiKey,
        status: str,
        text: str,
        id_: UUID,
        work: UnitOfWork,
    ) -> None:
        now = self.lab.clock.now()
        who = contributor_of(f"open311:{key.name}:updates", work, now)
        comment = voicing.comment(
            f"observation:{one.id}", who, text=text, lang=None, work=work, now=now
        )
        comment.id = id_
        if not key.allows(KeyScope.MODERATE):
            return
        if status in MODERATED:
            outcome = MODERATED[status]
            deciding.close(one, outcome=outcome, note=text, by=key.name, work=work, now=now)
        elif one.status is Status.CLOSED and status != "UNCHANGED":
            deciding.reopen(one, note=text, by=key.name, work=work, now=now)
        if status in PHASES:
            phase = PHASES[status]
            deciding.progress(one, phase=phase, note=text, by=key.name, work=work, now=now)


def _is_public(one: Observation | None, categories: set[str]) -> bool:
    return one is not None and one.visibility is Visibility.PUBLIC and one.category in categories


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_status(text: str) -> bool:
    if text not in {"open", "closed"}:
        raise InvalidError("status", f"{text!r} is neither open nor closed")
    return True


def _updated_asked(told: Mapping[str, str]) -> bool:
    return "updated_after" in told or "updated_before" in told


def _whole(told: Mapping[str, str], name: str, default: int) -> int:
    text = told.get(name)
    try:
        return default if text is None else int(text)
    except ValueError as error:
        raise InvalidError(name, f"{text!r} is no whole number") from error


def _size(told: Mapping[str, str]) -> int:
    asked = _whole(told, "page_size", _whole(told, "max_requests", MOST))
    return min(max(asked, 1), MOST)


def _skip(told: Mapping[str, str]) -> int:
    return (min(max(_whole(told, "page", 1), 1), 100_000) - 1) * _size(told)


def _by_id(text: str, work: UnitOfWork) -> Observation | None:
    try:
        return work.observations.get(UUID(text))
    except ValueError:
        return None


def _texts(form: FormData) -> dict[str, str]:
    """The first value of each field that is words and says something."""
    found: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and value.strip():
            found.setdefault(name, value)
    return found


def _client_key(headers: Mapping[str, str], key: ApiKey) -> UUID:
    given = headers.get("idempotency-key")
    return uuid5(NAMESPACE_URL, f"open311/{key.name}/{given}") if given else uuid4()


def _point(told: Mapping[str, str]) -> Point | None:
    lat, long = told.get("lat"), told.get("long")
    if lat is None and long is None:
        if "address_string" not in told and "address_id" not in told:
            raise InvalidError("lat", "a location is required: lat and long, or an address")
        return None
    try:
        point = Point(float(long or "nan"), float(lat or "nan"))
    except ValueError as error:
        raise InvalidError("lat", "lat and long are numbers, in degrees") from error
    if not is_point(*point):
        raise InvalidError("lat", "lat and long are both required, in degrees of WGS84")
    return point


def _address_id(told: Mapping[str, str]) -> str | None:
    """Return the key of a Place, which is what the id of an address is; a position goes first."""
    return None if "lat" in told or "long" in told else told.get("address_id")


def _attributes(form: FormData, category: Category) -> dict[str, Any]:
    """Read `attribute[CODE]` and `attribute[CODE][]`; an unknown code is passed over."""
    known = {one.code: one for one in category.attributes if one.asked}
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        if not name.startswith("attribute[") or isinstance(value, UploadFile) or not value.strip():
            continue
        code = name.removeprefix("attribute[").removesuffix("[]").removesuffix("]")
        one = known.get(code)
        if one is None:
            continue
        if one.datatype is Datatype.SOME_OF:
            found.setdefault(code, []).append(value)
        else:
            found[code] = value[: LONGEST.get(one.datatype, LONGEST_TEXT) + 1]
    return found


def _contact(told: Mapping[str, str], pseudonym: str) -> Contact | None:
    """What identifies whoever posted: for the Vault alone."""
    names = " ".join(told[one] for one in ("first_name", "last_name") if one in told)
    facts = {"email": told.get("email"), "phone": told.get("phone"), "name": names or None}
    return Contact(pseudonym=pseudonym, **facts) if any(facts.values()) else None
