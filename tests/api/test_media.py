"""Photos over HTTP: sent with a posting, kept back until a moderator looked, and gone with it."""

import json
from uuid import uuid4

import pytest
from PIL import Image

from livinglab.domain.photos import MOST_PHOTOS
from livinglab.errors import StoreUnavailableError, UnavailableError
from livinglab.services import picturing
from tests.photos import encoded, opened, quarters, rationals, scene, telling_jpeg

ME = {"X-Contributor": "a" * 30}
OTHER = {"X-Contributor": "b" * 30}
SUBMIT = {"Authorization": "Bearer submit-secret"}
MODERATOR = {"Authorization": "Bearer moderate-secret"}


def fields(**more: object) -> dict[str, str]:
    given = {"client_key": str(uuid4()), "category": "street", "point": [6.05, 45.05]} | more
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }


def files(*photos: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("media", (f"IMG_{n}.jpg", data, "image/jpeg")) for n, data in enumerate(photos)]


def post(client, *photos, headers=ME, **more):
    return client.post("/observations", data=fields(**more), files=files(*photos), headers=headers)


@pytest.fixture
def kept(lab):
    """The keys of photos in the store."""
    return lambda: set(lab.media.older(0))


def test_a_form_posts_like_json_does(client):
    """Words, a number and JSON in fields; without a photo too, as a page without a script does."""
    given = fields(text="a hole", severity=3, attributes={})
    answer = client.post(
        "/observations",
        data=given,
        files={"media": ("", b"", "application/octet-stream")},
        headers=ME,
    )

    assert 201 == answer.status_code, answer.text
    assert "square" == answer.json()["place"]["key"]
    assert [] == answer.json()["media"]
    shown = client.get(answer.headers["location"]).json()
    assert (3, [6.05, 45.05]) == (shown["severity"], shown["point"])


def test_a_photo_waits_and_is_shown_once_it_was_let_go(client):
    """Nobody sees it before, a moderator does; afterwards it is in every list, pixels only."""
    posted = post(client, telling_jpeg()).json()
    [photo] = posted["media"]
    path = f"/observations/{posted['id']}"
    early = client.get(photo["url"]).status_code
    waiting = client.get("/moderation/media", headers=MODERATOR).json()["items"]
    looked = client.get(waiting[0]["url"], headers=MODERATOR)
    key = waiting[0]["key"]

    done = client.post(f"/moderation/media/{key}/release", json={}, headers=MODERATOR)

    assert (True, 404, 200) == (photo["waiting"], early, looked.status_code)
    assert "no-store" == looked.headers["cache-control"]
    assert {"key": key, "visibility": "public"} == done.json()
    told = client.get(path).json()["media"]
    [listed] = client.get("/observations").json()["items"]
    [request] = client.get("/open311/v2/requests.json").json()
    question = {"category": "street", "point": [6.05, 45.05]}
    [candidate] = client.post("/observations:candidates", json=question).json()["items"]
    assert [photo["url"]] == [one["url"] for one in told] == [one["url"] for one in listed["media"]]
    assert f"http://testserver{photo['url']}" == request["media_url"]
    assert photo["thumbnail"] == candidate["thumbnail"]
    answer = client.get(photo["url"])
    assert "image/jpeg" == answer.headers["content-type"]
    assert "default-src 'none'; sandbox" == answer.headers["content-security-policy"]
    assert ["red", "lime", "blue", "white"] == quarters(opened(answer.content))
    assert b"SECRET" not in answer.content + client.get(photo["thumbnail"]).content
    assert [] == client.get("/moderation/media", headers=MODERATOR).json()["items"]


def test_a_photo_is_seen_only_while_its_observation_is(client):
    """Removed words take their photo along; one of a personal theme never shows."""
    posted = post(client, telling_jpeg()).json()
    personal = post(client, telling_jpeg(), category="noise").json()
    for one in client.get("/moderation/media", headers=MODERATOR).json()["items"]:
        client.post(f"/moderation/media/{one['key']}/release", json={}, headers=MODERATOR)
    shown = client.get(posted["media"][0]["url"]).status_code
    hidden = client.get(personal["media"][0]["url"]).status_code

    client.post(f"/moderation/{posted['id']}/remove", json={"note": "n"}, headers=MODERATOR)

    assert (200, 404) == (shown, hidden)
    assert 404 == client.get(posted["media"][0]["url"]).status_code


def test_what_is_taken_out_is_gone(client, kept):
    """A reason is needed; what the photo showed is not kept, and it is not let go afterwards."""
    posted = post(client, telling_jpeg()).json()
    url = client.get("/moderation/media", headers=MODERATOR).json()["items"][0]["url"]
    silent = client.post(f"{url}/remove", json={}, headers=MODERATOR)
    removed = client.post(f"{url}/remove", json={"note": "a face"}, headers=MODERATOR)
    again = client.post(f"{url}/remove", json={"note": "a face"}, headers=MODERATOR)
    back = client.post(f"{url}/release", json={}, headers=MODERATOR)

    assert [422, 200, 200, 409] == [one.status_code for one in (silent, removed, again, back)]
    assert set() == kept()
    assert 404 == client.get(url, headers=MODERATOR).status_code
    assert [] == client.get(f"/observations/{posted['id']}").json()["media"]


def test_the_same_form_twice_is_one_posting_and_one_photo(client, kept):
    """201, then 200; the same key with another photo is another posting, and refused."""
    given, photo, another = fields(), telling_jpeg(), encoded(scene(80, 60), "PNG")

    def send(data):
        return client.post("/observations", data=given, files=files(data), headers=ME)

    first, second, third = send(photo), send(photo), send(another)

    assert [201, 200, 409] == [one.status_code for one in (first, second, third)]
    assert first.json() == second.json()
    assert 1 == len(kept())


def test_photos_are_added_by_who_posted(client, kept):
    """And by a moderator; nobody else, and not beyond the limit. The same twice is once."""
    posted = post(client, encoded(scene(), "PNG")).json()
    known = {"client_key": str(uuid4()), "category": "street", "place": "square"}
    client.post("/observations", json=known, headers=OTHER)
    path = f"/observations/{posted['id']}/media"

    def add(n, headers):
        return client.post(path, files=files(encoded(scene(100 + n, 50), "PNG")), headers=headers)

    mine, twice, staff, stranger = add(1, ME), add(1, ME), add(2, MODERATOR), add(3, OTHER)
    nobody, gateway, nothing = add(3, {}), add(3, SUBMIT), client.post(path, headers=ME)

    assert [201, 201, 201] == [one.status_code for one in (mine, twice, staff)]
    assert mine.json() == twice.json()
    assert [404, 401, 401] == [one.status_code for one in (stranger, nobody, gateway)]
    assert (422, "media") == (nothing.status_code, nothing.json()["path"])
    assert 3 == len(kept())
    assert 201 == add(4, ME).status_code
    assert 201 == add(5, ME).status_code
    beyond = add(6, ME)
    assert (422, "media") == (beyond.status_code, beyond.json()["path"])
    assert MOST_PHOTOS == len(kept())


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "image/svg+xml"),
        (b"\0\0\0\x18ftypheic" + bytes(40), 415, "Most Compatible"),
        (b"GIF89a" + bytes(40), 415, "image/gif"),
        (b"%PDF-1.7", 415, "application/octet-stream"),
        (telling_jpeg()[:300], 422, "media"),
        (b"\xff\xd8\xff" + bytes(11 << 20), 413, "10485760"),
    ],
    ids=["svg", "heic", "gif", "pdf", "cut off", "too large"],
)
def test_what_is_no_photo_is_refused_with_its_posting(client, kept, data, status, words):
    """Nothing of it is kept, and the words say what to do; without the photo it may be sent."""
    answer = post(client, encoded(scene(), "PNG"), data)

    assert status == answer.status_code, answer.text
    assert words in answer.text
    assert set() == kept()
    assert [] == client.get("/observations").json()["items"]


def test_a_refused_posting_keeps_no_photo(client, kept):
    """Nor does one of unknown category, bad JSON, or too many."""
    photo = encoded(scene(), "PNG")
    answers = [
        post(client, photo, category="nonsense"),
        post(client, photo, point="[6.05"),
        post(client, photo, severity=9),
        post(client, *[encoded(scene(60 + n, 50), "PNG") for n in range(6)]),
        client.post("/observations", data=fields(), files=files(photo) * 12, headers=ME),
    ]

    assert [422] * 5 == [one.status_code for one in answers]
    assert "severity" in answers[2].json()["errors"][0]["path"]
    assert set() == kept()


def test_the_position_in_a_photo_is_used_only_when_agreed(client):
    """With consent it stands for a point; without, the posting has no position and is refused."""
    photo = telling_jpeg(
        gps=((1, 2, b"N\0"), (2, 5, there(45, 3)), (3, 2, b"E\0"), (4, 5, there(6, 3)))
    )

    silent = post(client, photo, point=None)
    agreed = post(client, photo, point=None, use_photo_position="true")

    assert (422, 201) == (silent.status_code, agreed.status_code), agreed.text
    assert "square" == agreed.json()["place"]["key"]


def there(degrees: int, minutes: int) -> bytes:
    """A coordinate as cameras write it."""
    return rationals((degrees, 1), (minutes, 1), (0, 1))


def test_forty_megapixels_come_out_small(client):
    """A large photo is made smaller, not refused."""
    large = encoded(Image.new("RGB", (8_000, 5_000), "red"), "PNG", compress_level=1)
    [photo] = post(client, large).json()["media"]

    assert (2_048, 1_280) == (photo["width"], photo["height"])


def test_a_form_may_be_larger_than_json_but_not_huge(client, kept):
    """Beyond 24 MiB of photos it is refused unread; JSON keeps its 64 KiB."""
    huge = client.post("/observations", data=fields(), files=files(bytes(25 << 20)), headers=ME)
    words = {"client_key": str(uuid4()), "category": "street", "text": "x" * 70_000}
    long = client.post("/observations", json=words, headers=ME)

    assert (413, 413) == (huge.status_code, long.status_code)
    assert ("25165824" in huge.text, "65536" in long.text) == (True, True)
    assert set() == kept()


class Fetcher:
    """Answers as it is told."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def fetch(self, url):
        self.asked.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        """Nothing is open."""


def request(client, **more):
    told = {"api_key": "submit-secret", "service_code": "street", "lat": 45.05, "long": 6.05}
    return client.post("/open311/v2/requests.json", data=told | more)


def test_open311_fetches_what_media_url_shows(client, lab, kept):
    """It is made anew like any photo, and waits."""
    lab.fetcher = Fetcher(telling_jpeg())

    answer = request(client, media_url="https://example.org/a.jpg")

    assert 200 == answer.status_code, answer.text
    assert ["https://example.org/a.jpg"] == lab.fetcher.asked
    assert 1 == len(kept())
    assert 1 == len(client.get("/moderation/media", headers=MODERATOR).json()["items"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a.jpg", "http://[::1]/", "http://169.254.169.254/latest", "file:///a"]
)
def test_open311_asks_no_machine_that_is_not_public(client, kept, url):
    """As the lab is put together, without a stand-in: the photo is refused, the report kept."""
    [row] = request(client, media_url=url).json()

    assert "Without photo: media_url" in row["service_notice"]
    assert 1 == len(client.get("/open311/v2/requests.json").json())
    assert set() == kept()


def test_open311_keeps_a_report_whose_photo_is_not_to_be_had(client, lab, kept):
    """A server that is down costs the photo, said in the notice; never the report."""
    lab.fetcher = Fetcher(UnavailableError("the server of media_url", "does not answer", "later"))

    [row] = request(client, media_url="https://example.org/a.jpg").json()

    assert "Without photo" in row["service_notice"]
    assert 1 == len(client.get("/open311/v2/requests.json").json())
    assert set() == kept()


def test_files_of_open311_win_over_media_url(client, lab, kept):
    """Under the names that clients of the field use."""
    lab.fetcher = Fetcher()
    told = {"api_key": "submit-secret", "service_code": "street", "lat": "45.05", "long": "6.05"}
    answer = client.post(
        "/open311/v2/requests.json",
        data=told | {"media_url": "https://example.org/a.jpg"},
        files=[("photo1", ("a.jpg", telling_jpeg(), "image/jpeg"))],
    )

    assert (200, [], 1) == (answer.status_code, lab.fetcher.asked, len(kept()))


def test_what_a_crash_left_is_swept_out(lab, client):
    """A photo that nobody names goes after an hour; named ones, and young ones, stay."""
    [named] = post(client, telling_jpeg()).json()["media"]
    orphan = lab.media.put(encoded(scene(), "PNG")).key
    early = picturing.sweep(lab.civic, lab.media)
    old = Aged(lab.media)

    swept = picturing.sweep(lab.civic, old)

    assert (0, 1) == (early, swept)
    assert lab.media.get(orphan) is None
    assert lab.media.get(named["url"].removeprefix("/media/")) is not None


class Aged:
    """A store in which an hour passed."""

    def __init__(self, store):
        self.store = store

    def older(self, than_s):
        return self.store.older(than_s - 3_601)

    def delete(self, key):
        return self.store.delete(key)


def test_a_store_that_fails_keeps_no_row(client, lab):
    """503 with its reason; the posting may be sent again."""

    class Full:
        def put(self, _data, **_options):
            raise StoreUnavailableError("Media", "No space left", "make room")

    store, lab.media = lab.media, Full()
    given = fields()
    failed = client.post("/observations", data=given, files=files(telling_jpeg()), headers=ME)
    lab.media = store
    again = client.post("/observations", data=given, files=files(telling_jpeg()), headers=ME)

    assert (503, 201) == (failed.status_code, again.status_code)
