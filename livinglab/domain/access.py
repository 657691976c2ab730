"""Access: keys that let programs act, and what each allows."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol


class Scope(Enum):
    """What a key allows."""

    READ = "read"
    SUBMIT = "submit"
    MODERATE = "moderate"
    PLAN = "plan"
    ADMIN = "admin"
    """Everything."""


@dataclass(eq=False, kw_only=True)
class ApiKey:
    """A key by its hash; the secret itself is shown once and never stored."""

    name: str
    secret_sha256: str
    scopes: str
    """Scope values, separated by spaces."""
    created_at: datetime
    expires_at: datetime | None = None
    """From when on it opens nothing; None: never."""
    number: int | None = None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it still opens anything."""
        return self.expires_at is None or now < self.expires_at

    def allows(self, scope: Scope) -> bool:
        """Tell whether the key has a scope; admin has all."""
        return allowed(self.scopes, scope)


class Actor(Protocol):
    """Who acts: a program by its key, or somebody of the staff."""

    @property
    def name(self) -> str:
        """Under which it acts."""
        ...

    def allows(self, scope: Scope) -> bool:
        """Tell whether it has a scope."""
        ...


def allowed(scopes: str, scope: Scope) -> bool:
    """Tell whether scopes, separated by spaces, hold one; admin holds all."""
    held = scopes.split()
    return scope.value in held or Scope.ADMIN.value in held
