"""The state of one condition (OPC UA Part 9, 5.5 to 5.8), without nodes and events.

    enabled ─ active ─ acknowledged ─ confirmed ─ shelved            a dialog: enabled ─ asked

Every method does what Part 9 says, or raises `Refused` with the code that Part 9 names, and then nothing has changed.
Times are simulated seconds.  `tell` gives each event its EventId: a hash of condition, instant and number, so that the
same run has the same ids.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from simulators.server.nodes import StatusCodes

MOST_IDS = 100
"""A client may name any of this many last events of the present occurrence."""
LONGEST_SHELVED_S = 24 * 3600.0


class Refused(Exception):  # noqa: N818 - named after the condition
    """A method is refused with a status code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Shelved(Enum):
    """The states of the ShelvedStateMachineType: name and node id."""

    NO = ("Unshelved", 2930)
    TIMED = ("Timed Shelved", 2932)
    ONE_SHOT = ("One Shot Shelved", 2933)


@dataclass(slots=True)
class ConditionState:
    """What a condition remembers."""

    path: str
    severity: int = 500
    confirmable: bool = False
    enabled: bool = True
    active: bool = False
    acked: bool = True
    confirmed: bool = True
    levels: frozenset[str] = frozenset()
    """The limit states that apply, such as High and HighHigh."""
    shelved: Shelved = Shelved.NO
    unshelve_s: float = 0.0
    asked: bool = False
    """A dialog waits for its answer."""
    response: int = -1
    last_severity: int = 0
    comment: str = ""
    commented_s: float = 0.0
    user: str = ""
    changed_s: dict[str, float] = field(default_factory=dict)
    """When each sub-state last changed."""
    told: int = 0
    event_id: bytes = b""
    _ids: deque[bytes] = field(default_factory=lambda: deque(maxlen=MOST_IDS))

    @property
    def retain(self) -> bool:
        return self.enabled and (self.active or not self.acked or not self.confirmed or self.asked)

    def tell(self, at_s: float) -> bytes:
        """The EventId of the next event."""
        self.told += 1
        seed = f"{self.path}|{at_s!r}|{self.told}".encode()
        self.event_id = hashlib.blake2b(seed, digest_size=16).digest()
        self._ids.append(self.event_id)
        return self.event_id

    def set_active(self, active: bool, severity: int, levels: frozenset[str], at_s: float) -> bool:
        """Whether this is a change that is to be told.  A new occurrence or a worse level asks for another
        acknowledgement."""
        if active == self.active and levels == self.levels and severity == self.severity:
            return False
        if active and (not self.active or severity > self.severity or levels - self.levels):
            if self.acked and self.confirmed:
                self._ids.clear()
            if self.acked:
                self.changed_s["acked"] = at_s
            self.acked = False
            self.confirmed = self.confirmed if not self.confirmable else False
        if active != self.active:
            self.changed_s["active"] = at_s
        if not active and self.shelved is Shelved.ONE_SHOT:
            self.shelved = Shelved.NO
        self.active, self.levels = active, levels
        self.set_severity(severity)
        return self.enabled

    def set_severity(self, severity: int) -> None:
        if severity != self.severity:
            self.last_severity, self.severity = self.severity, severity

    def _known(self, event_id: bytes) -> None:
        if not self.enabled:
            raise Refused(StatusCodes.BadConditionDisabled)
        if event_id not in self._ids:
            raise Refused(StatusCodes.BadEventIdUnknown)

    def _say(self, comment: str | None, user: str, at_s: float) -> None:
        """A null comment leaves the last one (Part 9, 5.7.3)."""
        self.user = user
        if comment is not None:
            self.comment, self.commented_s = comment, at_s

    def acknowledge(self, event_id: bytes, comment: str | None, user: str, at_s: float) -> None:
        self._known(event_id)
        if self.acked:
            raise Refused(StatusCodes.BadConditionBranchAlreadyAcked)
        self.acked, self.changed_s["acked"] = True, at_s
        self._say(comment, user, at_s)

    def confirm(self, event_id: bytes, comment: str | None, user: str, at_s: float) -> None:
        self._known(event_id)
        if not self.confirmable:
            raise Refused(StatusCodes.BadMethodInvalid)
        if self.confirmed:
            raise Refused(StatusCodes.BadConditionBranchAlreadyConfirmed)
        if not self.acked:
            raise Refused(StatusCodes.BadInvalidState)
        self.confirmed, self.changed_s["confirmed"] = True, at_s
        self._say(comment, user, at_s)

    def add_comment(self, event_id: bytes, comment: str | None, user: str, at_s: float) -> None:
        self._known(event_id)
        self._say(comment, user, at_s)

    def enable(self, at_s: float) -> None:
        if self.enabled:
            raise Refused(StatusCodes.BadConditionAlreadyEnabled)
        self.enabled, self.changed_s["enabled"] = True, at_s

    def disable(self, at_s: float) -> None:
        if not self.enabled:
            raise Refused(StatusCodes.BadConditionAlreadyDisabled)
        self.enabled, self.changed_s["enabled"] = False, at_s

    def shelve(self, for_s: float | None, at_s: float) -> None:
        """Shelve for a time, or (None) until the alarm is inactive."""
        if not self.enabled:
            raise Refused(StatusCodes.BadConditionDisabled)
        if self.shelved is not Shelved.NO:
            raise Refused(StatusCodes.BadConditionAlreadyShelved)
        if for_s is not None and not 0 < for_s <= LONGEST_SHELVED_S:
            raise Refused(StatusCodes.BadShelvingTimeOutOfRange)
        self.shelved = Shelved.ONE_SHOT if for_s is None else Shelved.TIMED
        self.unshelve_s = at_s + (for_s if for_s is not None else LONGEST_SHELVED_S)

    def unshelve(self, at_s: float) -> None:
        if not self.enabled:
            raise Refused(StatusCodes.BadConditionDisabled)
        if self.shelved is Shelved.NO:
            raise Refused(StatusCodes.BadConditionNotShelved)
        self.shelved = Shelved.NO

    def shelving_over(self, now_s: float) -> bool:
        """Whether the time of shelving has passed.  Then the condition is not shelved any more."""
        over = self.shelved is not Shelved.NO and now_s >= self.unshelve_s
        if over:
            self.shelved = Shelved.NO
        return over

    def shelved_for_s(self, now_s: float) -> float:
        return max(0.0, self.unshelve_s - now_s) if self.shelved is not Shelved.NO else 0.0

    def ask(self, at_s: float) -> bool:
        """Ask the question of a dialog.  False: it waits for its answer already, or is disabled."""
        if self.asked or not self.enabled:
            return False
        self.asked, self.changed_s["dialog"] = True, at_s
        return True

    def respond(self, answer: int, options: int, user: str, at_s: float) -> None:
        if not self.enabled:
            raise Refused(StatusCodes.BadConditionDisabled)
        if not self.asked:
            raise Refused(StatusCodes.BadDialogNotActive)
        if not 0 <= answer < options:
            raise Refused(StatusCodes.BadDialogResponseInvalid)
        self.asked, self.response, self.user, self.changed_s["dialog"] = False, answer, user, at_s
