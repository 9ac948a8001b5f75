"""What the rules allow on one connected server: the only way from a text of a request to a node.

    rules ─ Operations.find ─► targets ─► names and node ids as text ─► looked up with what a request says

A request's text is a key and nothing else: it is never read as a node id or a path.  So no request reaches a node that
no rule names, whatever it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.commands.outcome import Refused
from gateway.config import CommandRule
from gateway.operations import Kind, Target


@dataclass(frozen=True, slots=True)
class Permit:
    """That a requester may do something with one node, and within what limits."""

    text: str
    """What the request calls it."""
    target: Target
    rule: CommandRule
    number: int
    """Of the rule, counted over the whole configuration."""


WANTED: Mapping[str, Kind] = {
    "call": "method", "browse": "place", "diagnostics": "gateway", "reload": "gateway",
}  # fmt: skip
"""What an operation is done with, where that is no variable."""


class Allowed:
    """The nodes that rules name on one server."""

    def __init__(self, rules: Sequence[tuple[int, CommandRule]] = (), targets: Sequence[Target] = ()) -> None:
        """`rules` with their numbers in the configuration; `targets` as the server's side found them for these."""
        self._rules = list(rules)
        self.targets = tuple(targets)
        self._by_text: dict[str, list[Target]] = {}
        for target in targets:
            for text in {target.name, target.node_id}:
                self._by_text.setdefault(text, []).append(target)

    def permit(self, requester: str, operation: str, text: str) -> Permit:
        """What lets the requester do this.  Raises `Refused`.

        Who may not and what is not there get the same answer: a request is no way to look around.
        """
        permits = [
            Permit(text, target, rule, number)
            for target in self._by_text.get(text, ())
            for number, rule in (self._rules[target.rule],)
            if target.kind == WANTED.get(operation, "variable") and rule.allows(requester, operation)
        ]
        nodes = {(permit.target.node_id, permit.target.owner) for permit in permits}
        if not permits:
            raise Refused("not_allowed", f"no rule lets {requester} {operation} {text!r}, or there is no such thing")
        if len(nodes) > 1:
            raise Refused("ambiguous", f"{text!r} is the name of {len(nodes)} nodes: use the node id")
        return min(permits, key=lambda permit: permit.number)
