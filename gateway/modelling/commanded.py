"""What commands the rules allow at a server, for its table: one entry for each variable and method."""

from gateway.config import CommandRule, CommandsConfig
from gateway.modelling.description import CommandTarget
from gateway.operations import Facts, Operations, Target

_OPERATIONS = ("read", "write", "refresh", "history", "subscribe")
MOST = 10_000
"""Variables and methods of one server that are described."""


async def commands_at(server: Operations, source: str, commands: CommandsConfig) -> list[CommandTarget]:
    """Those of one server, each once, by the first rule that names it.  Raises `Unavailable`."""
    rules = [rule for rule in commands.rules if rule.source == source]
    found: dict[tuple[str, str], Target] = {}
    for target in await server.find(rules):
        if target.kind in ("variable", "method"):
            found.setdefault((target.node_id, target.kind), target)
    targets = list(found.values())[:MOST]
    variables = [target for target in targets if target.kind == "variable"]
    facts = await server.look(variables) if variables else []
    described = {target.node_id: said for target, said in zip(variables, facts, strict=True)}
    made = [_of_variable(t, described[t.node_id], rules[t.rule], commands) for t in variables]
    for target in targets:
        rule = rules[target.rule]
        if target.kind == "method" and rule.call is not None:
            method = await server.describe(target)
            who = rule.requesters or commands.requesters
            made.append(CommandTarget(target.name, target.node_id, ("call",), who, inputs=method.inputs))
    return made


def _of_variable(target: Target, facts: Facts, rule: CommandRule, commands: CommandsConfig) -> CommandTarget:
    operations = tuple(each for each in _OPERATIONS if getattr(rule, each) not in (None, False))
    limits = rule.write
    low, high = (limits.minimum, limits.maximum) if limits is not None else (None, None)
    return CommandTarget(
        target.name, target.node_id, operations, rule.requesters or commands.requesters, facts.built_in, facts.rank,
        low, high, limits.values or () if limits is not None else (),
    )  # fmt: skip
