"""What every Vault promises."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from livinglab.adapters.relational.memory import MemoryVault
from livinglab.adapters.relational.vault import SqlVault
from livinglab.domain.contributors import Contact
from livinglab.domain.notices import Mailbox
from livinglab.ports import Vault


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def vault(request, tmp_path: Path) -> Iterator[Vault]:
    """Every adapter."""
    opened: Vault
    if request.param == "memory":
        opened = MemoryVault()
    elif request.param == "postgresql":
        opened = SqlVault(request.getfixturevalue("postgres").database())
    else:
        opened = SqlVault(f"sqlite:///{tmp_path / 'vault.sqlite'}")
    with closing(opened):
        yield opened


def test_contact_is_kept_and_replaced(vault):
    """The last word counts."""
    vault.put(Contact(pseudonym="p", email="one@example.org"))
    vault.put(Contact(pseudonym="p", phone="123"))
    found = vault.get("p")

    assert (None, "123") == (found.email, found.phone)
    assert vault.get("q") is None


def test_erasing_leaves_nothing(vault):
    """And tells whether there was anything."""
    vault.put(Contact(pseudonym="p", name="N"))

    assert [True, False] == [vault.erase("p"), vault.erase("p")]
    assert vault.get("p") is None


def test_notes_go_with_their_contributor(vault):
    """What was posted before a change is kept by name, and erased with everything of its author."""
    vault.note("p", "one", "before")
    vault.note("p", "two", "before that")
    vault.note("q", "one", "another's")

    assert ("before", "before that") == (vault.noted("p", "one"), vault.noted("p", "two"))
    assert vault.erase("p")
    assert [None, None, "another's"] == [
        vault.noted("p", "one"),
        vault.noted("p", "two"),
        vault.noted("q", "one"),
    ]


def test_erased_contact_is_not_in_the_file(tmp_path):
    """Not even in the bytes that the database no longer uses."""
    file = tmp_path / "vault.sqlite"
    with closing(SqlVault(f"sqlite:///{file}")) as vault:
        vault.put(Contact(pseudonym="p", email="planted@example.org"))
        assert b"planted@example.org" in file.read_bytes()
        vault.erase("p")

    assert b"planted@example.org" not in file.read_bytes()
    assert 0o600 == file.stat().st_mode & 0o777


def test_a_mailbox_is_found_by_its_person_and_by_its_link(vault):
    """The last one counts; it goes by itself, or with everything else of its person."""
    for token in ("old", "new"):
        vault.open_mailbox(Mailbox(pseudonym="p", email="p@x.yz", lang="fr", token=token))
    vault.open_mailbox(Mailbox(pseudonym="o", email="p@x.yz", lang="ar", token="other"))

    assert ["other", "new"] == [one.token for one in vault.mailboxes()]
    assert ("p", None) == (vault.mailbox_of("new").pseudonym, vault.mailbox_of("old"))
    assert ("ar", None) == (vault.mailbox("o").lang, vault.mailbox("q"))
    assert [True, False] == [vault.close_mailbox("o"), vault.close_mailbox("o")]
    assert [True, False] == [vault.erase("p"), vault.erase("p")]
    assert [] == vault.mailboxes()
