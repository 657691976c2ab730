"""Keys: what opens, for how long, and what does not."""

from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.errors import ConflictError, NotFoundError
from livinglab.services import keying

HOUR = timedelta(hours=1)


def make(lab, **asked):
    with lab.work() as work:
        return keying.create("desk", "moderate", work, lab.clock.now(), **asked)


def rotate(lab, **asked):
    with lab.work() as work:
        return keying.rotate("desk", work, lab.clock.now(), **asked)


def asks(client, secret, path="/moderation"):
    """Return the status of what a moderator asks."""
    return client.get(path, headers={"Authorization": f"Bearer {secret}"}).status_code


def test_a_new_secret_comes_before_the_old_one_ends(lab, client):
    """Both open for a day; then only the new one, which has the same scopes."""
    old = make(lab)
    new = rotate(lab)
    during = asks(client, old), asks(client, new)
    lab.clock.advance_to(lab.clock.now() + 24 * HOUR)

    assert (200, 200) == during
    assert (401, 200) == (asks(client, old), asks(client, new))
    narrow = {"Authorization": f"Bearer {new}"}
    assert 403 == client.post("/admin/quarantine:replay", json={}, headers=narrow).status_code


def test_a_key_ends(lab, client):
    """An hour later it opens nothing, nor Open311, and cannot be changed into one that does."""
    secret = make(lab, lasts=HOUR)
    before = asks(client, secret)
    lab.clock.advance_to(lab.clock.now() + HOUR)

    assert (200, 401) == (before, asks(client, secret))
    told = {"api_key": secret, "service_code": "street", "lat": "45.05", "long": "6.05"}
    assert 403 == client.post("/open311/v2/requests.json", data=told).status_code
    with pytest.raises(NotFoundError):
        rotate(lab)


def test_a_change_makes_no_key_live_longer(lab, client):
    """The end stays with the new secret; the old one ends with it, however long the grace."""
    old = make(lab, lasts=2 * HOUR)
    new = rotate(lab)
    lab.clock.advance_to(lab.clock.now() + 2 * HOUR)

    assert (401, 401) == (asks(client, old), asks(client, new))


def test_without_grace_the_old_secret_ends_at_once(lab, client):
    """As after a theft."""
    old = make(lab)
    new = rotate(lab, grace=timedelta(0))

    assert (401, 200) == (asks(client, old), asks(client, new))


def test_a_key_that_is_revoked_takes_its_former_secrets_along(lab, client):
    """Who revokes it means all of it; a key of another name stays."""
    secrets = [make(lab), rotate(lab)]
    with lab.work() as work:
        other = keying.create("desk 2", "moderate", work, lab.clock.now())
        keying.revoke("desk", work)

    assert [401, 401, 200] == [asks(client, one) for one in (*secrets, other)]


def test_rights_withdrawn_are_withdrawn_at_once(lab, client):
    """A moderator whose key was revoked, or lost its scope, is refused by the next request."""
    secret = make(lab)
    opened = asks(client, secret)
    with lab.work() as work:
        work.keys.named("desk").scopes = "read"
    narrowed = asks(client, secret)
    with lab.work() as work:
        keying.revoke("desk", work)

    assert (200, 403, 401) == (opened, narrowed, asks(client, secret))


def test_names_are_used_once(lab):
    """Twice the same name would leave open whose key acted."""
    make(lab)
    with pytest.raises(ConflictError, match="choose another name"):
        make(lab)
    with lab.work() as work, pytest.raises(NotFoundError):
        keying.revoke("nobody", work)


def test_one_key_hands_over_so_many(lab):
    """A gateway that runs wild is stopped by its name; another one, and citizens, are not."""
    lab.settings = lab.settings.model_copy(update={"key_limit": 3})
    with lab.work() as work:
        keys = [keying.create(name, "submit", work, lab.clock.now()) for name in ("one", "two")]
    asking = TestClient(create_app(lab))

    def posts(**headers):
        body = {"client_key": str(uuid4()), "category": "street", "place": "square"}
        return asking.post("/observations", json=body, headers=headers).status_code

    wild = [posts(Authorization=f"Bearer {keys[0]}") for _ in range(5)]

    assert [201, 201, 201, 429, 429] == wild
    assert (201, 201) == (posts(Authorization=f"Bearer {keys[1]}"), posts())
