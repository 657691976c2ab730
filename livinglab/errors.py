"""Everything that can go wrong in the lab, drawn as a tree first.

LabError
├── UsageError                 the caller must change something         (exit 2)
│   ├── SettingsError            a setting or the city file
│   ├── UnreadableInputError     a file or payload handed to a command
│   └── PanelError               a table from which no statistic can be made
├── NotEstimableError          the data do not carry what an estimator asks for
├── UnavailableError           a part that is needed does not answer    (exit 3, HTTP 503)
│   ├── StoreUnavailableError    Readings or civic data cannot be written or read now
│   ├── BrokerUnavailableError   no broker, or it refuses us
│   ├── PortBusyError            another program holds the port
│   └── LabBusyError             another lab holds the data folder
├── NotFoundError              what was named does not exist, or may not be seen
├── ConflictError              what is asked contradicts what is stored
│   └── ClientKeyReusedError     same client_key, another Observation
├── InvalidError               a payload that breaks a rule, with its path
│   └── AddressUnclearError      an address that several could be meant by
├── LetterRefusedError         a letter that no mail server will take
├── UnauthorizedError          no valid key where one is needed
├── ForbiddenError             a valid key without the scope
├── LimitExceededError         too many in too short a time
├── TooLargeError              more bytes than one request may have
└── UnsupportedFormatError     a format or media type the lab does not read

An error carries facts as attributes and knows no HTTP; its text says what, where and what to do.
"""

from collections.abc import Mapping


class LabError(Exception):
    """The root of all errors that the lab raises on purpose."""


class UsageError(LabError):
    """The caller must change something; trying again unchanged is useless."""


class SettingsError(UsageError):
    """A setting, or a line of the city file, cannot be used."""

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        super().__init__(f"{setting}: {problem}; {remedy}")
        self.setting = setting
        self.problem = problem
        self.remedy = remedy


class UnreadableInputError(UsageError):
    """A file or payload that was handed over cannot be read as what it should be."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem


class PanelError(UsageError):
    """A table from which no statistic can be made; its text says where and what to do."""


class NotEstimableError(LabError):
    """The data do not carry what an estimator asks for; its text is the data rule that fails."""


class UnavailableError(LabError):
    """A part that is needed does not answer now; trying again later may help."""

    def __init__(
        self, part: str, problem: str, remedy: str = "", *, retry_after_s: int = 5
    ) -> None:
        super().__init__(f"{part}: {problem}" + (f"; {remedy}" if remedy else ""))
        self.part = part
        self.problem = problem
        self.remedy = remedy
        self.retry_after_s = retry_after_s


class StoreUnavailableError(UnavailableError):
    """A store cannot be written or read now; nothing of the call took effect for certain."""


class BrokerUnavailableError(UnavailableError):
    """There is no broker, or it refuses us."""


class PortBusyError(UnavailableError):
    """Another program listens on the port."""


class LabBusyError(UnavailableError):
    """Another lab holds the data folder."""


class NotFoundError(LabError):
    """What was named does not exist, or may not be seen: the answer is the same."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"there is no {kind} {key!r}")
        self.kind = kind
        self.key = key


class ConflictError(LabError):
    """What is asked contradicts what is stored."""


class ClientKeyReusedError(ConflictError):
    """A client_key names one Observation for ever."""

    def __init__(self, client_key: str) -> None:
        super().__init__(
            f"client_key {client_key} was used for another Observation; make a new one"
        )
        self.client_key = client_key


class InvalidError(LabError):
    """A payload breaks a rule; *path* says where, *detail* what is expected."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


class LetterRefusedError(LabError):
    """No mail server will ever take this letter; the reason names no address."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the letter cannot be sent: {reason}")


class AddressUnclearError(InvalidError):
    """Several addresses could be meant, or the best one is doubtful; *candidates* tells which."""

    def __init__(self, candidates: tuple[Mapping[str, object], ...]) -> None:
        named = "; ".join(str(one["label"]) for one in candidates)
        super().__init__("address", f"say which one is meant, by its point or place: {named}")
        self.candidates = candidates


class UnauthorizedError(LabError):
    """No valid key came where one is needed."""


class ForbiddenError(LabError):
    """The key is valid, but its scopes do not allow this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs a key with the scope {scope}")
        self.scope = scope


class LimitExceededError(LabError):
    """Too many in too short a time."""

    def __init__(self, what: str, retry_after_s: int) -> None:
        super().__init__(f"too many {what}; try again in {retry_after_s} s")
        self.what = what
        self.retry_after_s = retry_after_s


class TooLargeError(LabError):
    """More bytes than one request may have."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes} bytes")
        self.what = what
        self.limit_bytes = limit_bytes


class UnsupportedFormatError(LabError):
    """A format or media type that the lab does not read."""

    def __init__(self, given: str, supported: tuple[str, ...], remedy: str = "") -> None:
        told = f"{given!r} is not supported; use one of {', '.join(supported)}"
        super().__init__(told + (f"; {remedy}" if remedy else ""))
        self.given = given
        self.supported = supported
