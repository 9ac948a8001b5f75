"""What `gateway watch` shows of an edge node: births, names for aliases, and numbers that can be followed.

`seq` has 256 values and begins anew with each birth.  So a stream is one birth of a node (`factory/edge-1#0`, with its
bdSeq; `#0.1` after the first rebirth), and its numbers go on where `seq` begins anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.payload.sparkplug.births import BD_SEQ
from gateway.payload.sparkplug.node import NAMESPACE
from gateway.payload.sparkplug.numbers import SEQS
from gateway.payload.sparkplug.read import Metric, Payload, instant_of, read_payload

MOST_NODES = 1000
_BIRTHS = ("NBIRTH", "DBIRTH")
_DATA = ("NDATA", "DDATA")


@dataclass(frozen=True, slots=True)
class Watched:
    """The content of one message."""

    stream: str
    seq: int
    """Of the stream, from 1."""
    values: Sequence[tuple[str, object]] = ()
    newest: datetime | None = None
    note: str = ""


@dataclass(slots=True)
class _Seen:
    """What is known of one edge node."""

    stream: str = ""
    bd_seq: int = -1
    births: int = 0
    last: int = 0
    aliases: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Name, with its device, and datatype by alias."""


class Nodes:
    """All edge nodes of one watcher."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    @staticmethod
    def is_one(topic: str) -> bool:
        """Whether this is the topic of an edge node."""
        levels = topic.split("/")
        return len(levels) in (4, 5) and levels[0] == NAMESPACE and levels[1] != "STATE"

    def read(self, topic: str, payload: bytes) -> Watched:
        """Raises `ValueError`."""
        _, group, verb, node, *rest = topic.split("/")
        device, name, body = rest[0] if rest else "", f"{group}/{node}", read_payload(payload)
        if name not in self._seen and len(self._seen) >= MOST_NODES:
            self._seen.clear()
        seen = self._seen.setdefault(name, _Seen())
        if verb == "NBIRTH":
            self._begin(name, seen, body)
        elif verb in ("NDEATH", "NCMD", "DCMD"):
            return Watched("", 0, note=f"{verb} {device or name}{_bd_seq_text(body)}")
        number = self._number(seen, body)
        values = [(self._name(seen, device, metric, verb), _shown(seen, metric)) for metric in body.metrics]
        times = [metric.timestamp for metric in body.metrics if metric.timestamp and not metric.is_historical]
        return Watched(
            seen.stream, number, values, instant_of(max(times)) if times and verb in _DATA else None,
            _note(verb, device, body, seen),
        )  # fmt: skip

    def _begin(self, name: str, seen: _Seen, body: Payload) -> None:
        bd_seq = next((metric.raw for metric in body.metrics if metric.name == BD_SEQ), -1)
        seen.births = seen.births + 1 if bd_seq == seen.bd_seq else 0
        seen.bd_seq = bd_seq if isinstance(bd_seq, int) else -1
        again = f".{seen.births}" if seen.births else ""
        seen.stream, seen.last = f"{name}#{seen.bd_seq}{again}", 0
        seen.aliases.clear()

    def _number(self, seen: _Seen, body: Payload) -> int:
        if body.seq is None or not seen.stream:
            return 0
        if not seen.last:
            seen.last = body.seq + 1
        else:
            seen.last += (body.seq - (seen.last - 1)) % SEQS or SEQS
        return seen.last

    def _name(self, seen: _Seen, device: str, metric: Metric, verb: str) -> str:
        if verb in _BIRTHS and metric.name:
            full = f"{device}/{metric.name}" if device else metric.name
            if metric.alias is not None:
                seen.aliases[metric.alias] = full, metric.datatype
            return full
        known = seen.aliases.get(metric.alias if metric.alias is not None else -1)
        return metric.name or (known[0] if known else f"alias {metric.alias}")


def _shown(seen: _Seen, metric: Metric) -> object:
    known = seen.aliases.get(metric.alias if metric.alias is not None else -1)
    return metric.value_as(metric.datatype or (known[1] if known else 0))


def _bd_seq_text(body: Payload) -> str:
    found = next((metric.raw for metric in body.metrics if metric.name == BD_SEQ), None)
    return f" bdSeq {found}" if isinstance(found, int) else ""


def _note(verb: str, device: str, body: Payload, seen: _Seen) -> str:
    if not seen.stream:
        return f"{verb} {device}: its birth is not known yet; ask for it with NCMD Node Control/Rebirth"
    if verb == "NBIRTH":
        again = f", rebirth {seen.births}" if seen.births else ""
        return f"NBIRTH bdSeq {seen.bd_seq}{again}" + (f" {body.compression}" if body.compression else "")
    historical = sum(metric.is_historical for metric in body.metrics)
    told = [verb] if verb not in _DATA else []
    told += [body.compression] if body.compression else []
    return " ".join([*told, *([f"{historical} historical"] if historical else [])])
