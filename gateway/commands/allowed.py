"""What the rules allow on one connected server: the only way from a text of a request to a node.

    rules ─ Operations.find ─► targets ─► names and node ids as text ─► lookup with the text of the request

The text of a request is only a key of this table.  It is never parsed as a node id or a path.  So no request can reach
a node that no rule names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.commands.outcome import Refused
from gateway.config import CommandRule
from gateway.operations import Kind, Target


@dataclass(frozen=True, slots=True)
class Permit:
    """The permission of a requester to do something with one node, with its limits."""

    text: str
    """The name of the node in the request."""
    target: Target
    rule: CommandRule
    number: int
    """The number of the rule, counted over the whole configuration."""


WANTED: Mapping[str, tuple[Kind, ...]] = {
    "call": ("method",), "browse": ("place",), "acknowledge": ("condition",), "confirm": ("condition",),
    "subscribe": ("variable", "notifier"), "unsubscribe": ("variable", "notifier"),
    "diagnostics": ("gateway",), "reload": ("gateway",),
}  # fmt: skip
"""What an operation is done with, where that is not a variable alone."""


MOST_NAMES = 200


class Allowed:
    """The nodes that rules name on one server."""

    def __init__(self, rules: Sequence[tuple[int, CommandRule]] = (), targets: Sequence[Target] = ()) -> None:
        """`rules` with their numbers in the configuration, and the `targets` found for them on the server."""
        self._rules = list(rules)
        self.targets = tuple(targets)
        self._by_text: dict[str, list[Target]] = {}
        for target in targets:
            for text in {target.name, target.node_id, target.also} - {""}:
                self._by_text.setdefault(text, []).append(target)

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """The names of what is there, by kind, at most `MOST_NAMES` of each."""
        found: dict[str, dict[str, None]] = {}
        for target in self.targets:
            found.setdefault(target.kind, {})[target.name] = None
        return {kind: list(names)[:MOST_NAMES] for kind, names in found.items()}

    def nodes(self, text: str) -> frozenset[str]:
        """The nodes that this text names."""
        return frozenset(target.node_id for target in self._by_text.get(text, ()))

    def permit(self, requester: str, operation: str, text: str) -> Permit:
        """The permit for this request.  Raises `Refused`.

        A forbidden node and a missing node get the same answer, so that requests cannot explore the server.
        """
        permits = [
            Permit(text, target, rule, number)
            for target in self._by_text.get(text, ())
            for number, rule in (self._rules[target.rule],)
            if target.kind in WANTED.get(operation, ("variable",)) and rule.allows(requester, operation)
        ]
        nodes = {(permit.target.node_id, permit.target.owner) for permit in permits}
        if not permits:
            raise Refused("not_allowed", f"no rule allows {requester} to {operation} {text!r}, or it does not exist")
        if len(nodes) > 1:
            raise Refused("ambiguous", f"{text!r} is the name of {len(nodes)} nodes: use the node id")
        return min(permits, key=lambda permit: permit.number)
