"""Operations: what may be asked of a connected server beside its values, and what it says.

Whoever asks names nodes by a `Target` that the server's side found for a rule of the configuration (`Operations.find`);
there is no way to ask for a node by text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from gateway.config import CommandRule
from gateway.errors import Unavailable
from gateway.values import Sampled, Typed

READABLE, WRITABLE = 1, 2
"""Bits of AccessLevel and UserAccessLevel (Part 3, 8.57)."""
UNSURE_STATUSES = frozenset((0x800A_0000, 0x8085_0000, 0x8005_0000, 0x80AE_0000, 0x8086_0000))
"""BadTimeout, BadRequestTimeout, BadCommunicationError, BadConnectionClosed, BadSecureChannelClosed: a server that says
this of a write does not know itself whether its device has done it."""


class Unsure(Unavailable):
    """It was sent, and nobody knows what became of it."""


Kind = Literal["variable", "method", "place", "condition", "notifier", "gateway"]
"""`place` is a node to look around below, `condition` one to acknowledge, `notifier` one that reports events; `gateway`
is the gateway itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """One node that a rule names on this server."""

    name: str
    """What requesters call it."""
    node_id: str
    """As text, with the namespace URI."""
    rule: int
    """Which of the rules that were asked for names it."""
    owner: str = ""
    """Of a method: the node id of the object that it is called on.  Empty for others."""
    kind: Kind = "variable"
    also: str = ""
    """Of a condition: the node id of what has it, which names it in requests as well.  Empty for others."""


Members = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class FieldForm:
    """One field of a structure."""

    name: str
    data_type: str
    dimensions: int = 0
    """0 for a scalar, 1 for an array, more for a matrix."""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """What the values of one data type are, by the server's definition of it."""

    built_in: int
    """Built-in type in which they are encoded; 0 where the server does not tell."""
    members: Members = ()
    """Of an enumeration: number and name of each."""
    options: Members = ()
    """Of an option set: number of the bit, from 0, and name of each."""
    data_type: str = ""
    """Of a structure: its node id."""
    encoding: str = ""
    """Of a structure: node id of its binary encoding.  Empty: no value of it can be made."""
    kind: int = 0
    """Of a structure: 0 with all of its fields, 1 with optional ones, 2 with one of them (a union)."""
    fields: tuple[FieldForm, ...] = ()


Forms = Mapping[str, Form]
"""By data type: those of a variable or argument, and of everything inside."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of a variable just now."""

    built_in: int
    """Built-in type of its values (Part 6, 5.1.2); 0 where the server does not tell."""
    rank: int = -1
    """ValueRank (Part 3, 8.6)."""
    dimensions: tuple[int, ...] = ()
    """ArrayDimensions; 0 for a length that may be any."""
    access: int = 0
    user_access: int = 0
    value: Typed | None = None
    """Its value, with the type that it was sent as; None for null."""
    status: int = 0
    """StatusCode of the value, or of the look where that was refused."""
    ranges: tuple[tuple[str, float, float], ...] = ()
    """EURange and InstrumentRange, where it has them: name, low, high."""
    members: Members = ()
    """Of an enumeration: number and name of each."""
    data_type: str = ""
    forms: Forms = field(default_factory=dict)

    @property
    def form(self) -> Form:
        found = self.forms.get(self.data_type, Form(self.built_in, self.members))
        return replace(found, members=self.members) if self.members else found


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a method (Part 3, 8.6)."""

    name: str
    rank: int = -1
    dimensions: tuple[int, ...] = ()
    form: Form = Form(0)
    forms: Forms = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What a server says of a method just now."""

    is_executable: bool
    inputs: tuple[Argument, ...] = ()
    outputs: tuple[str, ...] = ()
    """Their names."""


@dataclass(frozen=True, slots=True)
class Called:
    """What a server answered to a call."""

    status: int
    outputs: tuple[Typed, ...] = ()
    inputs: tuple[int, ...] = ()
    """Status of each argument, where the server has them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One node that was found below another."""

    path: str
    """Browse names from below the place, joined with `/`."""
    node_id: str
    node_class: str
    """`Object`, `Variable` or `Method`."""
    type: str = ""
    """Node id of its type definition; empty for a method."""


@dataclass(frozen=True, slots=True)
class Past:
    """Which values of the past: from `start_ticks` to before `end_ticks`."""

    start_ticks: int
    end_ticks: int
    limit: int
    skip: int = 0
    """So many values of the very instant of the start were told before."""
    aggregate: str = ""
    """A standard aggregate (Part 13); empty for the values themselves."""
    interval_s: float = 0.0
    """Of each aggregate."""


@dataclass(frozen=True, slots=True)
class PastValue:
    ticks: int
    value: Typed | None
    status: int


@dataclass(frozen=True, slots=True)
class PastPage:
    """What a server has of them."""

    values: tuple[PastValue, ...]
    status: int = 0
    """Why it has none, where that is a failure."""
    is_more: bool = False


class Operations(Protocol):
    """A connected server.  Everything may raise `Unavailable`: then nothing was done."""

    @property
    def is_open(self) -> bool:
        """Whether the connection is there."""

    @property
    def most_writes(self) -> int:
        """How many values the server takes in one request."""

    async def find(self, rules: Sequence[CommandRule]) -> list[Target]:
        """The variables and methods that these rules name, now; for each rule in the order of their names."""

    async def browse(
        self, place: Target, levels: int, most: int, is_chosen: Callable[[str], bool]
    ) -> tuple[list[Seen], bool]:
        """The nodes below a place whose path is chosen, by path; and whether there were more than `most` to look at."""

    async def attributes(self, place: Target) -> Mapping[str, Typed]:
        """The attributes of a place (Part 3, 5), by name, without its Value; those that the server does not tell are
        left out."""

    async def history(self, target: Target, wanted: Past) -> PastPage:
        """A page of the history of a variable, in the order of time."""

    async def refresh(self, targets: Sequence[Target]) -> list[bool]:
        """Read these variables again and send their values as if they had just changed; False for one that is not
        among the tags of the source."""

    async def look(self, targets: Sequence[Target]) -> list[Facts]:
        """What the server says of these variables, and their values."""

    async def values(self, targets: Sequence[Target]) -> list[tuple[Typed | None, int]]:
        """The value of each variable and its status."""

    async def describe(self, method: Target) -> MethodFacts:
        """What the server says of a method."""

    async def write(self, writes: Sequence[tuple[Target, Typed]], within_s: float) -> list[int]:
        """Write these values in one request, each alone, without status and timestamps; the status of each.

        Raises `Unsure` when no answer came in time.  Never sent twice.
        """

    async def call(self, method: Target, arguments: Sequence[Typed], within_s: float) -> Called:
        """Call a method.  Raises `Unsure` when no answer came in time.  Never sent twice."""


@runtime_checkable
class Readable(Protocol):
    """A connected server whose variables can be read beside the subscriptions."""

    @property
    def is_open(self) -> bool:
        """Whether the connection is there."""

    async def readings(self, targets: Sequence[Target]) -> list[Sampled]:
        """The value of each variable with status and times.  Raises `Unavailable`."""


@runtime_checkable
class Operable(Protocol):
    """A source that takes commands as well."""

    @property
    def operations(self) -> Operations: ...
