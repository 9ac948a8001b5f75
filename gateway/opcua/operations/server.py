"""The operations of commands (`gateway/operations.py`) at one connected server, on the session of its values.

Each request is sent once.  A service fault is an answer of the server.  Without an answer `Unsure` is raised.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from gateway.config import CommandRule
from gateway.errors import Unavailable
from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.opcua.codec.decode import read_response_header
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.read_values import READ, ReadValue, read_answer, request_of
from gateway.opcua.codec.standard import ARGUMENT, plain, range_of
from gateway.opcua.codec.wire import Dialect, Malformed, Reader, read_diagnostics, read_variant
from gateway.opcua.operations.past import past_of
from gateway.opcua.operations.targets import seen_below, targets_of
from gateway.opcua.operations.types import DataTypes
from gateway.opcua.operations.variants import Variants
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import VARIABLE, children
from gateway.opcua.space.data_types import Members, listed_members
from gateway.operations import Argument, Called, Facts, MethodFacts, Past, PastPage, Seen, Target, Unsure
from gateway.values import Sampled, Structure, Typed

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_LOOKED_AT = (
    ua.AttributeIds.Value, ua.AttributeIds.DataType, ua.AttributeIds.ValueRank, ua.AttributeIds.ArrayDimensions,
    ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel,
)  # fmt: skip
_ATTRIBUTES = {
    name[0].lower() + name[1:]: getattr(ua.AttributeIds, name)
    for name in (
        "NodeClass", "BrowseName", "DisplayName", "Description", "WriteMask", "UserWriteMask", "EventNotifier",
        "DataType", "ValueRank", "ArrayDimensions", "AccessLevel", "UserAccessLevel", "MinimumSamplingInterval",
        "Historizing",
    )
}  # fmt: skip
_RANGES = ("EURange", "InstrumentRange")
_MEMBERS = ("EnumStrings", "EnumValues")
_INPUTS, _OUTPUTS = "InputArguments", "OutputArguments"
_STRUCTURE = "i=22"
_BAD, _BAD_NODE_ID_UNKNOWN = 0x8000_0000, 0x8034_0000

_T = TypeVar("_T")
Resend = Callable[[Sequence[str]], Awaitable[list[bool]]]


class ServerOperations:
    """The operations on one session.  Data types and the properties of nodes are read once."""

    def __init__(self, session: Session, dialect: Dialect, resend: Resend | None = None) -> None:
        """`resend`: reads these node ids again for the source, and says which of them are its tags."""
        self._session = session
        self._resend = resend
        self._dialect = dialect
        self._types = DataTypes(session)
        self._variants = Variants(session.uris, self._types.forms)
        self._properties: dict[str, dict[str, ua.NodeId]] = {}

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    @property
    def most_writes(self) -> int:
        return self._session.limits.write

    async def find(self, rules: Sequence[CommandRule]) -> list[Target]:
        return await targets_of(self._session, rules)

    async def browse(
        self, place: Target, levels: int, most: int, is_chosen: Callable[[str], bool]
    ) -> tuple[list[Seen], bool]:
        return await seen_below(self._session, self._node(place.node_id), levels, most, is_chosen)

    async def attributes(self, place: Target) -> Mapping[str, Typed]:
        node = self._node(place.node_id)
        answers = await self._read([(node, attribute) for attribute in _ATTRIBUTES.values()])
        told = zip(_ATTRIBUTES, answers, strict=True)
        return {name: value for name, (value, status) in told if value is not None and not status >> 30}

    async def history(self, target: Target, wanted: Past) -> PastPage:
        node = self._node(target.node_id)
        return await past_of(self._session, node, wanted, self._dialect, self._ask_history)

    async def _ask_history(self, request: ua.HistoryReadRequest) -> bytes | int:
        return await self._sent("read history", request, self._session.request_timeout_s)

    async def refresh(self, targets: Sequence[Target]) -> list[bool]:
        if self._resend is None:
            return [False] * len(targets)
        return await self._resend([target.node_id for target in targets])

    async def values(self, targets: Sequence[Target]) -> list[tuple[Typed | None, int]]:
        nodes = [self._node(target.node_id) for target in targets]
        return await self._read([(node, ua.AttributeIds.Value) for node in nodes])

    async def readings(self, targets: Sequence[Target]) -> list[Sampled]:
        wanted = [(self._node(target.node_id), ua.AttributeIds.Value) for target in targets]
        found = await self._session.in_calls(
            "read", wanted, self._answers, alone=lambda _, status: ReadValue(0, None, status)
        )
        return [_sampled(each) for each in found]

    async def look(self, targets: Sequence[Target]) -> list[Facts]:
        nodes = [self._node(target.node_id) for target in targets]
        properties = await self._properties_of(targets, nodes)
        wanted = [(node, attribute) for node in nodes for attribute in _LOOKED_AT]
        described = [
            (number, name, known[name])
            for number, known in enumerate(properties)
            for name in (*_RANGES, *_MEMBERS)
            if name in known
        ]
        answers = await self._read([*wanted, *((node, ua.AttributeIds.Value) for _, _, node in described)])
        said: list[dict[str, object]] = [{} for _ in nodes]
        for (number, name, _), (value, status) in zip(described, answers[len(wanted) :], strict=True):
            said[number][name] = value.value if value is not None and not status >> 30 else None
        width = len(_LOOKED_AT)
        return [await self._facts(answers[n * width : (n + 1) * width], each) for n, each in enumerate(said)]

    async def _facts(self, answers: Sequence[tuple[Typed | None, int]], properties: Mapping[str, object]) -> Facts:
        """By its attributes, and the values of the properties that describe it."""
        (value, status), (data_type, _), (rank, rank_status), (dimensions, _), (access, _), (user_access, _) = answers
        if data_type is None:
            return Facts(0, status=status or rank_status or _BAD_NODE_ID_UNKNOWN)
        text = await self._type_of(str(data_type.value), value)
        form = self._types.forms[text]
        built_in = form.built_in or (value.type & ~(IS_ARRAY | IS_MATRIX) if value is not None else 0)
        sizes = dimensions.value if dimensions is not None and isinstance(dimensions.value, list) else ()
        return Facts(
            built_in, _whole(rank, -2), tuple(int(size) for size in sizes), _whole(access, 0), _whole(user_access, 0),
            value, status, _ranges(properties), form.members or _members(properties),
            text if form.built_in else "", self._types.forms,
        )  # fmt: skip

    async def _type_of(self, data_type: str, value: Typed | None) -> str:
        """The data type of the values to send.  Of an abstract structure it is that of the present value."""
        await self._types.of(data_type)
        if data_type == _STRUCTURE and value is not None and isinstance(value.value, Structure):
            data_type = value.value.type_id
            await self._types.of(data_type)
        return data_type

    async def _properties_of(self, targets: Sequence[Target], nodes: Sequence[ua.NodeId]) -> list[dict[str, ua.NodeId]]:
        fresh = [(t.node_id, n) for t, n in zip(targets, nodes, strict=True) if t.node_id not in self._properties]
        below = await children(self._session, [n for _, n in fresh], reference=_HAS_PROPERTY, classes=VARIABLE)
        for (text, _), references in zip(fresh, below, strict=True):
            self._properties[text] = {reference.name: reference.node for reference in references}
        return [self._properties[target.node_id] for target in targets]

    async def describe(self, method: Target) -> MethodFacts:
        node = self._node(method.node_id)
        executable, by_user = await self._read(
            [(node, ua.AttributeIds.Executable), (node, ua.AttributeIds.UserExecutable)]
        )
        [properties] = await self._properties_of([method], [node])
        names = [name for name in (_INPUTS, _OUTPUTS) if name in properties]
        said = await self._session.read_values([properties[name] for name in names]) if names else []
        arguments = {name: each.good for name, each in zip(names, said, strict=True)}
        inputs = [await self._argument(each) for each in _arguments(arguments.get(_INPUTS))]
        outputs = tuple(str(each["Name"] or "") for each in _arguments(arguments.get(_OUTPUTS)))
        return MethodFacts(_is_true(executable[0]) and _is_true(by_user[0]), tuple(inputs), outputs)

    async def _argument(self, said: Mapping[str, object]) -> Argument:
        form, sizes = await self._types.of(str(said["DataType"])), said["ArrayDimensions"]
        dimensions = tuple(int(size) for size in sizes) if isinstance(sizes, list) else ()
        return Argument(str(said["Name"] or ""), int(str(said["ValueRank"])), dimensions, form, self._types.forms)

    async def write(self, writes: Sequence[tuple[Target, Typed]], within_s: float) -> list[int]:
        request = ua.WriteRequest()
        for target, value in writes:
            one = ua.WriteValue()
            one.NodeId, one.AttributeId = self._node(target.node_id), ua.IntegerId(ua.AttributeIds.Value)
            one.Value = self._variants.data_value(value)
            request.Parameters.NodesToWrite.append(one)
        within_s = min(within_s, self._session.request_timeout_s)
        body = await self._sent("write", request, within_s)
        if isinstance(body, int):
            return [body] * len(writes)
        with _unsure("write", self._session.where):
            answer = struct_from_binary(ua.WriteResponse, Buffer(body))
            if answer.ResponseHeader.ServiceResult.is_bad():
                return [answer.ResponseHeader.ServiceResult.value] * len(writes)
            return [status.value for status in _same_length(answer.Results, len(writes))]

    async def call(self, method: Target, arguments: Sequence[Typed], within_s: float) -> Called:
        one = ua.CallMethodRequest()
        one.ObjectId, one.MethodId = self._node(method.owner), self._node(method.node_id)
        one.InputArguments = [self._variants.variant(argument) for argument in arguments]
        request = ua.CallRequest()
        request.Parameters.MethodsToCall = [one]
        body = await self._sent("call a method", request, within_s)
        if isinstance(body, int):
            return Called(body)
        with _unsure("call a method", self._session.where):
            return _called(body, self._dialect)

    async def _sent(self, doing: str, request: object, within_s: float) -> bytes | int:
        """The body of the response, or the status of a service fault.  Raises `Unsure` without a response."""
        protocol = self._session.protocol
        with _unsure(doing, self._session.where):
            try:
                return bytes(await protocol.ask(request, max(0.05, within_s)))
            except ua.UaStatusCodeError as error:
                return int(error.code)

    async def _read(self, wanted: Sequence[tuple[ua.NodeId, ua.AttributeIds]]) -> list[tuple[Typed | None, int]]:
        return await self._session.in_calls("read", wanted, self._read_some, alone=lambda _, status: (None, status))

    async def _read_some(self, wanted: Sequence[tuple[ua.NodeId, ua.AttributeIds]]) -> list[tuple[Typed | None, int]]:
        answers = await self._answers(wanted)
        return [(Typed(each.type, each.value) if each.type else None, each.status) for each in answers]

    async def _answers(self, wanted: Sequence[tuple[ua.NodeId, ua.AttributeIds]]) -> list[ReadValue]:
        with peer_errors("read", self._session.where):
            answer = await self._session.ask(READ, request_of(wanted))
            answer.dialect = self._dialect
            found = read_answer(answer, len(wanted))
        if len(found) != len(wanted):
            raise Unavailable(f"cannot read at {self._session.where}: {found[-1].problem}")
        return found

    def _node(self, text: str) -> ua.NodeId:
        """The node id of a target that was found on this session."""
        node = node_of(text, self._session.uris)
        if node is None:
            raise Unavailable(f"{self._session.where} no longer has the namespace of {text}")
        return node


@contextmanager
def _unsure(doing: str, where: str) -> Iterator[None]:
    """Turn `Unavailable` into `Unsure`: after a request was sent, its outcome is unknown."""
    try:
        with peer_errors(doing, where):
            yield
    except Unavailable as error:
        raise Unsure(str(error), error.cause) from error


def _sampled(read: ReadValue) -> Sampled:
    value = Typed(read.type, read.value) if read.type else None
    return Sampled(value, read.status, read.source_ticks, read.server_ticks)


def _ranges(properties: Mapping[str, object]) -> tuple[tuple[str, float, float], ...]:
    known = [(name, *range_of(properties[name])) for name in _RANGES if name in properties]
    return tuple((name, low, high) for name, low, high in known if low < high)


def _members(properties: Mapping[str, object]) -> Members:
    """The states of a variable (MultiStateDiscreteType), which are not in its data type."""
    said = [listed_members(properties[name]) for name in _MEMBERS if name in properties]
    return next((members for members in said if members), ())


def _called(body: bytes, dialect: Dialect) -> Called:
    """The one result of a CallResponse (Part 4, 5.12.2).  Raises `Malformed`."""
    r = Reader(body, 0, len(body), dialect)
    _, result = read_response_header(r)
    if result & _BAD:
        return Called(result)
    if r.count(1) != 1:
        raise Malformed("the number of results is not the number of methods")
    status = r.u32()
    inputs = tuple(r.u32() for _ in range(max(0, r.count(4))))
    for _ in range(max(0, r.count(1))):
        read_diagnostics(r)
    outputs = [read_variant(r) for _ in range(max(0, r.count(1)))]
    return Called(status, tuple(Typed(kind, value) for kind, value in outputs), inputs)


def _same_length(found: Sequence[_T] | None, count: int) -> Sequence[_T]:
    if found is None or len(found) != count:
        raise Malformed("the number of results is not the number of operations")
    return found


def _arguments(said: object) -> list[Mapping[str, object]]:
    """The fields of each argument; what is none is left out."""
    described = said if isinstance(said, list) else ()
    return [plain(each) for each in described if isinstance(each, Structure) and each.type_id == ARGUMENT]


def _whole(said: Typed | None, default: int) -> int:
    return said.value if said is not None and isinstance(said.value, int) else default


def _is_true(said: Typed | None) -> bool:
    return said is not None and said.value is True
