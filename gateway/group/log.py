"""The group's log: three streams of NATS JetStream.

- `CF-<group>`: the log itself.  One subject per work; each append is conditional on the last record of its subject.
  Its metadata has the log's epoch, a part of every stream's name of ours: numbers go on across hosts, and a log that
  was made anew does not use one twice.
- `CF-<group>-members`: who is there.  Whoever says nothing for `presence` disappears from it.
- `CF-<group>-wishes`: who shall do what, and who shall do nothing, as people said.

Everything is read by plain requests to whichever server answers.  There are no watches and no consumers, which would
die with the server that has them.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from gateway.config import GroupConfig
from gateway.errors import ConfigError, Unavailable
from gateway.group.claim import NOTHING, Attempt, Mark, stored_at
from gateway.group.entry import Kind, Stored, headers_of, stored_from
from gateway.group.nats_edge import ApiError, Nats, Reply, answer_of, connected
from gateway.group.servers import check_version
from gateway.link import Link

WRONG_LAST, FULL, NO_MESSAGE, NO_STREAM, TOO_LARGE = 10071, 10077, 10037, 10059, 10054
"""What JetStream's `err_code` says."""
RETRY_S = 0.5
HEADER_BYTES = 1024
"""More than what the headers of a record take."""
BATCH = 256
RESERVED = 8
"""This part of the log is not for values."""

Json = Mapping[str, object]


class LogFull(Exception):  # noqa: N818 - it is a state of the log, not a fault of the program
    """The log has no room at present."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """There is another last record than expected."""


@dataclass(frozen=True, slots=True)
class Names:
    """Of the streams and subjects of a group."""

    group: str

    @property
    def log(self) -> str:
        return f"CF-{_token(self.group)}"

    @property
    def members(self) -> str:
        return f"{self.log}-members"

    @property
    def wishes(self) -> str:
        return f"{self.log}-wishes"

    @property
    def root(self) -> str:
        return f"cf.{_token(self.group)}"

    def work(self, work: str) -> str:
        """The subject of a work: `source/<name>` or `broker/<name>`."""
        kind, _, name = work.partition("/")
        return f"{self.root}.log.{kind}.{_token(name)}"

    def work_at(self, subject: str) -> str:
        *_, kind, name = subject.split(".")
        return f"{kind}/{_name(name)}"

    def member(self, member: str) -> str:
        return f"{self.root}.member.{_token(member)}"

    def wish(self, about: str) -> str:
        return f"{self.root}.wish.{_token(about)}"

    @property
    def post(self) -> str:
        return f"{self.log}-post"

    def box(self, box: str) -> str:
        """`ask/<source>` or `answer/<broker>` as two tokens of a subject."""
        kind, _, name = box.partition("/")
        return f"{kind}.{_token(name)}"

    def reload(self, member: str) -> str:
        return f"{self.root}.reload.{_token(member)}"

    @property
    def nudge(self) -> str:
        return f"{self.root}.nudge"

    @property
    def written(self) -> str:
        return f"{self.root}.written"


def _token(name: str) -> str:
    """A name as one token of a subject."""
    return "".join(each if each.isalnum() or each in "_-" else f"={ord(each):02X}" for each in name)


def _name(token: str) -> str:
    first, *rest = token.split("=")
    return first + "".join(chr(int(each[:2], 16)) + each[2:] for each in rest)


class Log:
    """The log of a group, while connected.  Created by `open_log`."""

    def __init__(self, nats: Nats, names: Names, epoch: str, replicas: int) -> None:
        self._nats = nats
        self.names = names
        self.epoch = epoch
        self.replicas = replicas
        self.held_bytes, self.capacity = 0, 0
        self.last_seq = 0
        """The position of the last record, when it was last measured."""
        self.leader = ""
        """The NATS server that leads the log; empty: none, or nobody knows."""
        self.current, self.lagging = 0, 0
        """How many of its servers have all of it, the leader too, and how many have not."""
        self.on_stored: Callable[[float], object] = lambda took_s: None
        self.reload_heard: Callable[[str], None] = lambda member: None
        """Called with the member that says that all shall take their configuration anew."""
        self.nudged, self.written = asyncio.Event(), asyncio.Event()
        """Set when another member has something to say about itself, and when somebody appended.  Both may be lost."""

    @property
    def most_bytes(self) -> int:
        """The longest body of a record."""
        return self._nats.most_bytes - HEADER_BYTES

    @property
    def has_room(self) -> bool:
        """Whether values may be appended, as far as is known: an eighth is kept for what makes the log emptier."""
        return self.held_bytes < self.capacity - self.capacity // RESERVED or not self.capacity

    async def last(self, work: str) -> Stored | None:
        """The last record of a work, as the leader of the log knows it.  Raises `Unavailable`."""
        try:
            found = await self._nats.api(f"STREAM.MSG.GET.{self.names.log}", {"last_by_subj": self.names.work(work)})
        except ApiError as error:
            if error.code == NO_MESSAGE:
                return None
            raise Unavailable(f"the log cannot be read: {error}") from error
        message = found["message"]
        assert isinstance(message, dict)
        headers = _headers(base64.b64decode(message.get("hdrs", "")))
        return stored_from(message["subject"], message["seq"], headers, base64.b64decode(message.get("data", "")))

    async def append(self, work: str, attempt: Attempt, kind: Kind, body: bytes) -> Mark:
        """One try.  Raises `Refused`, `LogFull`, and `Unavailable` when it may be stored or not."""
        mark = stored_at(attempt, 0, is_release=kind is Kind.RELEASE)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(attempt.expected), **headers_of(mark, kind)}
        began_s = time.perf_counter()
        reply = await self._nats.ask(self.names.work(work), body, headers)
        try:
            seq = answer_of(reply)["seq"]
            self.on_stored(time.perf_counter() - began_s)
        except ApiError as error:
            if error.code == WRONG_LAST:
                raise Refused from error
            if error.code in (FULL, TOO_LARGE):
                raise LogFull(str(error)) from error
            raise Unavailable(f"the log takes nothing: {error}") from error
        assert isinstance(seq, int)
        self.held_bytes += len(body)
        return mark._replace(seq=seq)

    async def read(self, first: int, what: str, most_bytes: int = 4 * 2**20) -> list[Stored]:
        """Records from a position on, in order; `what` is a subject.  Empty: there is none yet.  Raises `Unavailable`.

        A server that lags behind shows fewer.
        """
        request = {"seq": first, "batch": BATCH, "max_bytes": most_bytes, "next_by_subj": what}
        replies, _ = await self._nats.ask_for_many(f"DIRECT.GET.{self.names.log}", request)
        return [
            stored_from(reply.headers["Nats-Subject"], int(reply.headers["Nats-Sequence"]), reply.headers, reply.data)
            for reply in replies
        ]

    async def last_of_all(self, what: str) -> dict[str, Stored]:
        """The last record of each subject that matches, by work.  May be a little old.  Raises `Unavailable`."""
        replies, _ = await self._nats.ask_for_many(
            f"DIRECT.GET.{self.names.log}", {"multi_last": [what], "batch": 1000}
        )
        found = [
            stored_from(reply.headers["Nats-Subject"], int(reply.headers["Nats-Sequence"]), reply.headers, reply.data)
            for reply in replies
        ]
        return {self.names.work_at(stored.subject): stored for stored in found}

    async def purge(self, work: str, before: int) -> None:
        """Remove the records of a work before a position.  Raises `Unavailable`."""
        await self._asked(f"STREAM.PURGE.{self.names.log}", {"filter": self.names.work(work), "seq": before})

    async def state(self) -> dict[str, object]:
        """Figures of the log's stream, and of its replicas, as JetStream has them.  Raises `Unavailable`."""
        return await self._asked(f"STREAM.INFO.{self.names.log}", None)

    async def measure(self, capacity: int) -> None:
        """Look how much of the log is in use, and who leads it.  Raises `Unavailable`."""
        self.leader, self.current, self.lagging = "", 0, 0
        found = await self.state()
        state, cluster = found.get("state") or {}, found.get("cluster") or {}
        assert isinstance(state, dict)
        assert isinstance(cluster, dict)
        self.held_bytes, self.capacity = int(state.get("bytes", 0)), capacity
        self.last_seq, self.leader = int(state.get("last_seq", 0)), str(cluster.get("leader", ""))
        others = [bool(each.get("current")) for each in cluster.get("replicas") or ()]
        self.current, self.lagging = bool(self.leader) + sum(others), len(others) - sum(others)

    async def _asked(self, subject: str, request: object) -> dict[str, object]:
        try:
            return await self._nats.api(subject, request)
        except ApiError as error:
            raise Unavailable(f"NATS refuses: {error}") from error

    # -- members and wishes

    async def show(self, member: str, facts: Json) -> None:
        """Say that a member is there.  Raises `Unavailable`."""
        answer_or_wait(await self._nats.ask(self.names.member(member), json.dumps(facts).encode()))

    async def hide(self, member: str) -> None:
        """Say that it leaves.  Raises `Unavailable`."""
        await self._asked(f"STREAM.PURGE.{self.names.members}", {"filter": self.names.member(member)})

    async def members(self) -> dict[str, Json]:
        """Who is there, and what each says of itself.  Raises `Unavailable`."""
        return await self._all(self.names.members, f"{self.names.root}.member.*")

    async def wish(self, about: str, facts: Json | None) -> None:
        """Keep a wish about a work or a member; None: no longer.  Raises `Unavailable`."""
        subject = self.names.wish(about)
        if facts is None:
            await self._asked(f"STREAM.PURGE.{self.names.wishes}", {"filter": subject})
        else:
            answer_or_wait(await self._nats.ask(subject, json.dumps(facts).encode()))

    async def wishes(self) -> dict[str, Json]:
        """By what they are about.  Raises `Unavailable`."""
        return await self._all(self.names.wishes, f"{self.names.root}.wish.*")

    async def _all(self, stream: str, what: str) -> dict[str, Json]:
        replies, _ = await self._nats.ask_for_many(f"DIRECT.GET.{stream}", {"multi_last": [what], "batch": 1000})
        return {_name(reply.headers["Nats-Subject"].rpartition(".")[2]): json.loads(reply.data) for reply in replies}

    async def nudge(self) -> None:
        """Let the others look at once.  Raises `Unavailable`."""
        await self._nats.tell(self.names.nudge)

    async def tell_written(self) -> None:
        """Let readers look at once.  Raises `Unavailable`."""
        await self._nats.tell(self.names.written)

    async def listen(self) -> None:
        await self.hear(self.names.nudge, lambda subject: self.nudged.set())
        await self.hear(self.names.written, lambda subject: self.written.set())
        await self.hear(f"{self.names.root}.reload.*", self._reload_heard)

    def _reload_heard(self, subject: str) -> None:
        self.reload_heard(_name(subject.rpartition(".")[2]))

    # -- for the post

    async def make(self, stream: dict[str, object]) -> None:
        """Create a stream, or bring it to these bounds.  Raises `Unavailable`."""
        await _made(self._nats, stream)

    async def hear(self, subject: str, heard: Callable[[str], None]) -> None:
        """Call this with the subject of each message."""
        await self._nats.hear(subject, heard)

    async def ask(self, subject: str, data: bytes) -> Reply:
        """Raises `Unavailable`."""
        return await self._nats.ask(subject, data)

    async def tell(self, subject: str) -> None:
        """Raises `Unavailable`."""
        await self._nats.tell(subject)

    async def letters(self, stream: str, subject: str, first: int, batch: int) -> list[tuple[int, bytes]]:
        """Messages from a position on, each with its own.  Raises `Unavailable`."""
        request = {"seq": first, "batch": batch, "max_bytes": 2**20, "next_by_subj": subject}
        replies, _ = await self._nats.ask_for_many(f"DIRECT.GET.{stream}", request)
        return [(int(reply.headers["Nats-Sequence"]), reply.data) for reply in replies]

    async def purge_of(self, stream: str, subject: str, before: int) -> None:
        """Raises `Unavailable`."""
        await self._asked(f"STREAM.PURGE.{stream}", {"filter": subject, "seq": before})


def answer_or_wait(reply: Reply) -> None:
    """Raises `Unavailable` when JetStream refused."""
    try:
        answer_of(reply)
    except ApiError as error:
        raise Unavailable(f"NATS refuses: {error}") from error


def mark_of(stored: Stored | None) -> Mark:
    return stored.mark if stored is not None else NOTHING


def _headers(block: bytes) -> dict[str, str]:
    lines = block.decode().split("\r\n")[1:]
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines) if key}


def _streams_of(config: GroupConfig, names: Names, presence_s: float) -> list[dict[str, object]]:
    small: dict[str, object] = {"max_msgs_per_subject": 1, "discard": "old"}
    age: dict[str, object] = {
        "max_age": int(presence_s * 1e9), "duplicate_window": int(min(presence_s, 120) * 1e9)
    }  # fmt: skip
    log: dict[str, object] = {"max_bytes": config.max_bytes, "metadata": {"epoch": secrets.token_hex(4)}}
    return [
        stream_of(names.log, [f"{names.root}.log.>"], config.replicas, **log),
        stream_of(names.members, [f"{names.root}.member.*"], config.replicas, **small, **age),
        stream_of(names.wishes, [f"{names.root}.wish.*"], config.replicas, **small),
    ]


def stream_of(name: str, subjects: list[str], replicas: int, **more: object) -> dict[str, object]:
    """The configuration of a stream, on disk; bounded by `more` alone."""
    return {
        "name": name, "subjects": subjects, "retention": "limits", "storage": "file", "num_replicas": replicas,
        "allow_direct": True, "discard": "new", "max_msgs": -1, "max_consumers": -1, "max_bytes": -1, "max_age": 0,
        **more,
    }  # fmt: skip


@asynccontextmanager
async def open_log(config: GroupConfig, name: str, link: Link, presence_s: float | None = None) -> AsyncIterator[Log]:
    """Connect, check the servers, and create the streams where they are missing.

    Waits for a cluster that is not there yet.  Raises `ConfigError` for servers that cannot be used.
    """
    log, names = structlog.get_logger("gateway.group"), Names(config.name)
    async with connected(config, name, link) as nats:
        told = ""
        while True:
            try:
                await check_version(nats, config)
                epoch = ""
                for stream in _streams_of(config, names, presence_s or config.presence):
                    epoch = await _made(nats, stream) or epoch
                break
            except Unavailable as error:
                if str(error) != told:
                    log.warning("the group's log cannot be had yet", reason=str(error), next="trying again")
                told = str(error)
                await asyncio.sleep(RETRY_S)
        found = Log(nats, names, epoch, config.replicas)
        await found.listen()
        yield found


async def _made(nats: Nats, wanted: dict[str, object]) -> str:
    """Create a stream, or bring one to the wanted bounds.  Returns its epoch.  Raises `Unavailable`, `ConfigError`."""
    name = wanted["name"]
    try:
        try:
            found = await nats.api(f"STREAM.INFO.{name}", None)
        except ApiError as error:
            if error.code != NO_STREAM:
                raise
            try:
                found = await nats.api(f"STREAM.CREATE.{name}", wanted)
            except ApiError as refused:
                if refused.code != 10058:  # another member was faster
                    raise
                found = await nats.api(f"STREAM.INFO.{name}", None)
        is_set = found["config"]
        assert isinstance(is_set, dict)
        epoch = str(is_set.get("metadata", {}).get("epoch", ""))
        if wanted["storage"] != is_set["storage"] or not is_set.get("allow_direct"):
            raise ConfigError([f"group.name: the stream {name} exists, and was not made by a group"])
        if any(is_set[key] != wanted[key] for key in ("max_bytes", "max_age", "num_replicas")):
            await nats.api(f"STREAM.UPDATE.{name}", {**wanted, "metadata": is_set.get("metadata", {})})
        return epoch
    except ApiError as error:
        raise Unavailable(f"the stream {name} cannot be made: {error}") from error
