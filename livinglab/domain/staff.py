"""Staff: people who act for the city under their own names, and the sessions in which they do."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from livinglab.domain.access import Scope, allowed

STAFF = "staff:"
"""Before a login, in the name under which its holder acts."""
IDLE = timedelta(hours=1)
"""How long a session lasts in which nothing is done."""
LONGEST = timedelta(hours=12)
"""How long it lasts at all."""
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
MOST_WRONG_CODES = 5
"""After which codes are not even looked at for a while."""
LOCKED_FOR = timedelta(minutes=15)


@dataclass(eq=False, kw_only=True)
class StaffMember:
    """Somebody who moderates, plans or runs the lab."""

    login: str
    scopes: str
    """Scope values, separated by spaces."""
    password_hash: str
    """Argon2id, in its own notation."""
    created_at: datetime
    active: bool = True
    second_factor: str | None = None
    """Under which name the Vault keeps its secret; None: there is none yet."""
    new_factor: str | None = None
    """The same for one that is not confirmed yet."""
    last_step: int = 0
    """Number of the half minute whose code was used last: none is taken twice."""
    wrong_codes: int = 0
    """Since the last right one; only who knows the password gets that far."""
    locked_until: datetime | None = None
    number: int | None = None

    @property
    def name(self) -> str:
        """Under which it acts, which is no name of a key."""
        return f"{STAFF}{self.login}"

    def allows(self, scope: Scope) -> bool:
        """Tell whether this person has a scope; admin has all."""
        return allowed(self.scopes, scope)


@dataclass(eq=False, kw_only=True)
class StaffSession:
    """What one sign-in opened."""

    token_sha256: str
    login: str
    created_at: datetime
    seen_at: datetime
    confirmed: bool
    """Whether the second factor was shown; without it nothing but the own account opens."""
    number: int | None = None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it still opens anything."""
        return now < self.created_at + LONGEST and now < self.seen_at + IDLE
