"""What commands a configuration allows at a server, for `gateway plan`: the rules, against the server as it is."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from gateway.commands.limits import check_access
from gateway.commands.outcome import Refused
from gateway.commands.values import name_of
from gateway.config import CommandRule, CommandsConfig
from gateway.config.commands import LimitsConfig
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.operations.server import ServerOperations
from gateway.opcua.session.session import Session
from gateway.operations import READABLE, WRITABLE, Facts, MethodFacts, Operations, Target

Row = tuple[str, str, str, str, str]
HEAD: Row = ("command", "node", "who", "type and range of the server", "allowed, or why it would be refused")


async def rows_of_commands(session: Session, source: str, commands: CommandsConfig) -> tuple[list[Row], int]:
    """A row for each node that a rule names, and how many rules name nothing or what the server would not let us do."""
    return await rows_at(ServerOperations(session, Dialect(session.uris)), source, commands)


async def rows_at(server: Operations, source: str, commands: CommandsConfig) -> tuple[list[Row], int]:
    rules = [rule for rule in commands.rules if rule.source == source]
    rows, problems = list[Row](), 0
    for rule in rules:
        targets = await server.find([rule])
        if not targets:
            rows.append(("nothing found", rule.node or rule.subtree or rule.type or "", "", "", ""))
            problems += 1
        variables = [target for target in targets if target.kind == "variable"]
        for target, facts in zip(variables, await server.look(variables) if variables else [], strict=True):
            told, is_wrong = _of_variable(rule, facts)
            rows.append((target.name, target.node_id, _who(rule, commands), _said(facts), told))
            problems += is_wrong
        for target in targets:
            if target.kind == "method" and rule.call is not None:
                method = await server.describe(target)
                told, is_wrong = _of_method(rule, method)
                rows.append(_method_row(target, rule, commands, method, told))
                problems += is_wrong
            if target.kind == "place" and rule.browse is not None:
                told = f"browse {rule.browse.levels} levels below"
                rows.append((target.name, target.node_id, _who(rule, commands), "", told))
            if target.kind == "notifier":
                rows.append((target.name, target.node_id, _who(rule, commands), "events", "subscribe to its events"))
            if target.kind == "condition":
                told = "; ".join(each for each in ("acknowledge", "confirm") if getattr(rule, each))
                rows.append((target.name, target.node_id, _who(rule, commands), "condition", told))
    return rows, problems


def _who(rule: CommandRule, commands: CommandsConfig) -> str:
    return ", ".join(rule.requesters or commands.requesters)


def _said(facts: Facts) -> str:
    array = "[]" if facts.rank >= 0 else ""
    ranges = "".join(f" {name} {low:g} to {high:g}" for name, low, high in facts.ranges)
    members = " ".join(f"{number} {name}" for number, name in facts.members[:5])
    return f"{name_of(facts.built_in)}{array}{ranges} {members}".rstrip()


def _of_variable(rule: CommandRule, facts: Facts) -> tuple[str, bool]:
    """What may be done; and whether some of it would always be refused."""
    told, is_wrong = [], False
    for what, bit, limits in (("read", READABLE, None), ("write", WRITABLE, rule.write)):
        if not (rule.read if what == "read" else limits is not None):
            continue
        try:
            check_access(facts, bit, "not_writable" if what == "write" else "access_denied")
            told.append(" ".join((what, *(_limits(limits) if limits is not None else ()))))
        except Refused as error:
            told.append(f"no {what}: {error}")
            is_wrong = True
    if rule.refresh:
        told.append("refresh")
    if rule.history is not None:
        told.append(f"history of {rule.history.span:g} s")
    if rule.subscribe is not None:
        told.append(f"subscribe, every {rule.subscribe.fastest:g} s at most")
    return "; ".join(told), is_wrong


def _of_method(rule: CommandRule, facts: MethodFacts) -> tuple[str, bool]:
    assert rule.call is not None
    if not facts.is_executable:
        return "no call: the server does not let it be called", True
    unknown = sorted(rule.call.arguments.keys() - {argument.name for argument in facts.inputs})
    if unknown:
        return f"no call: it has no argument {', '.join(unknown)}", True
    limits = [f"{name} {' '.join(_limits(each))}" for name, each in rule.call.arguments.items()]
    return "; ".join(("call", *limits)), False


def _method_row(target: Target, rule: CommandRule, commands: CommandsConfig, facts: MethodFacts, told: str) -> Row:
    arguments = ", ".join(f"{each.name} {name_of(each.form.built_in)}" for each in facts.inputs)
    return target.name, target.node_id, _who(rule, commands), f"method ({arguments})", told


def _limits(limits: LimitsConfig) -> Iterator[str]:
    if limits.minimum is not None or limits.maximum is not None:
        yield f"{_number(limits.minimum)} to {_number(limits.maximum)}"
    if limits.step is not None:
        yield f"in steps of {limits.step:g}"
    if limits.values is not None:
        yield f"one of {', '.join(map(str, limits.values))}"
    if (rate := getattr(limits, "rate", None)) is not None:
        yield f"{rate.times} times in {rate.within:g} s"


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def folded(rows: Sequence[Row], most: int = 8, shown: int = 3) -> Iterator[Row]:
    """Of many nodes of which the same is told, the first few."""
    for _, group in groupby(rows, key=lambda row: row[2:]):
        alike = list(group)
        yield from alike if len(alike) <= most else alike[:shown]
        if len(alike) > most:
            yield (f"… {len(alike) - shown} more like these, to {alike[-1][0]}", *alike[-1][1:])


def columns(rows: Sequence[Row], widest: int = 60) -> Iterator[str]:
    """Rows under each other."""
    every = [HEAD, *rows]
    widths = [min(widest, max(map(len, column))) for column in zip(*every, strict=True)]
    for row in every:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
