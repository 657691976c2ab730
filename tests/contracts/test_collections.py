"""What every Collection promises: rows of one kind, asked for by the values of their fields."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from livinglab.domain.answers import CityResponse
from livinglab.domain.batches import Batch
from livinglab.domain.contributors import Contributor
from livinglab.domain.incidents import EndReason, Incident
from livinglab.domain.moderation import Deed, ModerationAction
from livinglab.domain.notices import EmailCode, News, Notice, OptOut, Topic
from livinglab.domain.observations import Channel
from livinglab.domain.places import Place
from livinglab.domain.readings import Interval
from livinglab.domain.staff import StaffMember, StaffSession
from livinglab.domain.suppression import Aggregate
from livinglab.domain.texting import Conversation, TextMessage
from livinglab.domain.voices import Stance, Support
from livinglab.errors import ConflictError
from livinglab.ports import CivicStore

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def support(who: str, subject: str = "initiative:a", stance: Stance = Stance.FOR) -> Support:
    return Support(contributor=who, subject=subject, stance=stance, at=NOW)


@pytest.fixture
def people(store: CivicStore) -> CivicStore:
    """Three Contributors and a Place."""
    with store.work() as work:
        for name in "abc":
            work.contributors.add(Contributor(pseudonym=name, created_at=NOW))
        work.places.add(Place(key="square", name="Square", lon=6.0, lat=45.0))
    return store


def test_rows_are_found_by_their_fields(people):
    """By one value, by any of several, in order, and from where a page ended."""
    with people.work() as work:
        work.supports.add([support("a"), support("b", stance=Stance.AGAINST)])
        work.supports.add([support("c", "initiative:b")])

    with people.work(write=False) as work:
        assert ["a", "b"] == [
            one.contributor for one in work.supports.where(subject="initiative:a")
        ]
        of_two = work.supports.where(subject={"initiative:a", "initiative:b"}, stance=Stance.FOR)
        assert ["a", "c"] == [one.contributor for one in of_two]
        last = work.supports.where(newest_first=True, limit=2)
        assert ["c", "b"] == [one.contributor for one in last]
        more = work.supports.where(newest_first=True, after=last[-1].number, limit=2)
        assert ["a"] == [one.contributor for one in more]
        assert ["b", "c"] == [one.contributor for one in work.supports.where(after=more[0].number)]
        assert 2 == work.supports.count(subject="initiative:a", revoked_at=None)
        assert "b" == work.supports.one(subject="initiative:a").contributor
        assert None is work.supports.one(subject="initiative:z")
        assert [] == work.supports.where(subject=set())


def test_rows_of_an_interval(people):
    """From its start on, and before its end."""
    with people.work() as work:
        for n, name in enumerate("abc"):
            one = support(name)
            one.at = NOW + timedelta(hours=n)
            work.supports.add([one])

    with people.work(write=False) as work:
        hour = Interval(NOW, NOW + timedelta(hours=2))
        assert ["a", "b"] == [one.contributor for one in work.supports.where(within=("at", hour))]
        assert ["b"] == [
            one.contributor for one in work.supports.where(within=("at", hour), contributor="b")
        ]


def test_a_change_is_seen_at_once_and_kept(people):
    """What is changed counts in the same unit of work, and after it."""
    with people.work() as work:
        work.supports.add([support("a")])
        work.supports.one(contributor="a").revoked_at = NOW
        assert 0 == work.supports.count(revoked_at=None)

    with people.work(write=False) as work:
        assert NOW == work.supports.one(contributor="a").revoked_at


def test_a_login_is_given_once_and_sessions_are_somebodys(store):
    """Taken logins and sessions of nobody are refused; what is counted at a login is kept."""
    anna = StaffMember(login="anna", scopes="plan", password_hash="h", created_at=NOW)

    def session(login: str, token: str = "t") -> StaffSession:
        return StaffSession(
            token_sha256=token, login=login, created_at=NOW, seen_at=NOW, confirmed=False
        )

    with store.work() as work:
        work.staff.add([anna])
        work.staff_sessions.add([session("anna")])
        work.staff.one(login="anna").wrong_codes = 3
    again = StaffMember(login="anna", scopes="admin", password_hash="h", created_at=NOW)
    for kind, wrong in (
        ("staff", again),
        ("staff_sessions", session("bea", "u")),
        ("staff_sessions", session("anna")),
    ):
        with pytest.raises(ConflictError), store.work() as work:
            getattr(work, kind).add([wrong])

    with store.work() as work:
        assert [("plan", 3)] == [(one.scopes, one.wrong_codes) for one in work.staff.where()]
        work.staff_sessions.remove(work.staff_sessions.where(login="anna"))
        assert 0 == work.staff_sessions.count()


def test_what_was_published_stays(store):
    """No part of a month is published twice, and none is changed or forgotten."""

    def part(n: int, category: str = "noise") -> Aggregate:
        return Aggregate(
            month=date(2026, 1, 1),
            category=category,
            part=n,
            zones=["a", "b"],
            n=None if category == "air" else 15,
            contributors=10,
            k=10,
            published_at=NOW,
        )

    with store.work() as work:
        work.aggregates.add([part(0), part(1), part(0, "air")])
    with pytest.raises(ConflictError), store.work() as work:
        work.aggregates.add([part(1)])
    with pytest.raises(ConflictError), store.work() as work:
        work.aggregates.remove(work.aggregates.where())

    with store.work(write=False) as work:
        found = work.aggregates.where(month={date(2026, 1, 1)}, category={"noise"})
        assert [(0, ["a", "b"], 15), (1, ["a", "b"], 15)] == [
            (one.part, one.zones, one.n) for one in found
        ]
        assert None is work.aggregates.one(category="air").n


def test_nobody_hears_of_anything_twice(people):
    """The database itself refuses a second Notice, a second refusal to hear, a second code."""

    def notice(who: str, event: str = "closed:1") -> Notice:
        return Notice(
            recipient=who,
            topic=Topic.ANSWERS,
            event=event,
            news=News.CLOSED,
            facts={"place": "Square", "outcome": None},
            at=NOW,
        )

    def code(who: str) -> EmailCode:
        return EmailCode(contributor=who, digest="d", expires_at=NOW)

    out = OptOut(recipient="a", topic=Topic.QUESTIONS, at=NOW)
    with people.work() as work:
        work.notices.add([notice("a"), notice("b"), notice("a", "closed:2")])
        work.opt_outs.add([out])
        work.email_codes.add([code("a")])
    for kind, wrong in (
        ("notices", notice("a")),
        ("opt_outs", OptOut(recipient="a", topic=Topic.QUESTIONS, at=NOW)),
        ("email_codes", code("a")),
        ("email_codes", code("nobody")),
    ):
        with pytest.raises(ConflictError), people.work() as work:
            getattr(work, kind).add([wrong])

    with people.work() as work:
        work.notices.one(recipient="b").sent_at = NOW
        waiting = [work.notices.count(recipient=who, sent_at=None) for who in "ab"]
        assert [2, 0] == waiting
        assert {"place": "Square", "outcome": None} == work.notices.one(recipient="b").facts


def test_one_conversation_each_and_no_message_twice(people):
    """What was offered to choose from comes back as it was."""
    offered = [{"label": "The Square", "lon": 6.0, "lat": 45.0, "place": None}]

    def talk(who: str) -> Conversation:
        return Conversation(contributor=who, lang="ar", updated_at=NOW, choices=offered)

    def message(name: str) -> TextMessage:
        return TextMessage(id_sha256=name, body_sha256="b", reply="r", at=NOW)

    with people.work() as work:
        work.conversations.add([talk("a"), talk("b")])
        work.text_messages.add([message("1")])
    for kind, wrong in (
        ("conversations", talk("a")),
        ("conversations", talk("nobody")),
        ("text_messages", message("1")),
    ):
        with pytest.raises(ConflictError), people.work() as work:
            getattr(work, kind).add([wrong])

    with people.work() as work:
        work.conversations.one(contributor="a").choices = []
    with people.work(write=False) as work:
        assert [[], offered] == [one.choices for one in work.conversations.where()]


def test_one_voice_each(people):
    """The database itself refuses a second one, and a voice of nobody."""
    with people.work() as work:
        work.supports.add([support("a")])

    for wrong in (support("a", stance=Stance.AGAINST), support("nobody")):
        with pytest.raises(ConflictError), people.work() as work:
            work.supports.add([wrong])

    with people.work(write=False) as work:
        assert [Stance.FOR] == [one.stance for one in work.supports.where()]


def test_rows_can_be_forgotten_but_history_cannot(people):
    """A voice goes with its Contributor; what a moderator did and what was answered stays."""
    action = ModerationAction(
        subject="observation:x", deed=Deed.REMOVE, before=None, reason="spam", actor="m", at=NOW
    )
    answer = CityResponse(
        key="bridge",
        version=1,
        subject="initiative:a",
        you_said="Mend it.",
        we_did="Mended.",
        why_not="",
        evidence=["https://example.org/photo"],
        department="Roads",
        by="key",
        published_at=NOW,
    )
    with people.work() as work:
        work.supports.add([support("a")])
        work.actions.add([action])
        work.responses.add([answer])
    with people.work() as work:
        work.supports.remove(work.supports.where(contributor="a"))

    with people.work(write=False) as work:
        assert 0 == work.supports.count()
    with pytest.raises(ConflictError), people.work() as work:
        work.actions.remove(work.actions.where())
    with pytest.raises(ConflictError), people.work() as work:
        work.responses.one(key="bridge").we_did = "Nothing."
    with people.work(write=False) as work:
        assert ("spam", Deed.REMOVE) == (work.actions.one().reason, work.actions.one().deed)
        kept = work.responses.one(key="bridge")
        assert ("Mended.", ["https://example.org/photo"]) == (kept.we_did, kept.evidence)


def test_an_end_has_its_reason(people):
    """An Incident that ended without anybody knowing how is refused by the database, too."""
    made = Incident(id=uuid4(), category="road", place="square", first_at=NOW, last_at=NOW)
    with people.work() as work:
        work.incidents.add([made])
    with people.work() as work:
        found = work.incidents.one(id=made.id)
        found.ended_at, found.end_reason = NOW, EndReason.INSPECTION

    with people.work(write=False) as work:
        found = work.incidents.one(id=made.id)
        assert (NOW, EndReason.INSPECTION) == (found.ended_at, found.end_reason)
    with pytest.raises(ValueError, match="an end has a reason"):
        Incident(
            id=uuid4(), category="road", place="square", first_at=NOW, last_at=NOW, ended_at=NOW
        )


def test_a_batch_is_kept_once_and_somewhere(people):
    """The database itself refuses a second one of its name, and one of a Place that is not."""

    def batch(name: str, place: str = "square") -> Batch:
        return Batch(
            source="paper",
            external_id=name,
            body_sha256="0" * 64,
            category="road",
            day=date(2026, 3, 1),
            n=12,
            channel=Channel.EVENT,
            received_at=NOW,
            place=place,
            strata={"age": {"0-17": 3}},
        )

    with people.work() as work:
        work.batches.add([batch("a"), batch("b")])

    for wrong in (batch("a"), batch("c", "moon")):
        with pytest.raises(ConflictError), people.work() as work:
            work.batches.add([wrong])
    with people.work(write=False) as work:
        assert ["a", "b"] == [one.external_id for one in work.batches.where(place={"square"})]
        kept = work.batches.one(source="paper", external_id="a")
        assert (date(2026, 3, 1), {"age": {"0-17": 3}}) == (kept.day, kept.strata)
    with pytest.raises(ValueError, match="a Place or to a Zone"):
        batch("d", None)
