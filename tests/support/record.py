"""Compares what a subscriber got with what the simulators served."""

from collections import defaultdict

Change = tuple[object, str]
"""(value, source time)."""

PREFIX = "nsu=urn:connected-factory:simulator;s="


def served(record: list[dict[str, object]]) -> dict[str, list[Change]]:
    """By variable of a machine (`line-1/press-1/State`): what the server was given, in order."""
    found: dict[str, list[Change]] = defaultdict(list)
    for line in record:
        name = str(line["node"]).removeprefix(PREFIX)
        if name.startswith("line-1/") and name.count("/") == 2:
            found[name].append((line["value"], str(line["source_time"])))
    return dict(found)


def arrived(changes: list[tuple[str, str, object, str]], root: str = "factory/hall-1/") -> dict[str, list[Change]]:
    """By variable: what the subscriber got, in order.

    The same value with the same source time counts once: a first value after a new subscription, or a page of history
    read again after a crash, is not new.
    """
    found: dict[str, dict[Change, None]] = defaultdict(dict)
    for topic, name, value, time in changes:
        found[f"{topic.removeprefix(root)}/{name}"].setdefault((_hashable(value), time))
    return {name: list(kept) for name, kept in found.items()}


def _hashable(value: object) -> object:
    return value if isinstance(value, int | float | str | None) else repr(value)


def last_change(changes: list[Change]) -> str:
    """When a variable last got another value: a server does not send what did not change (Part 4, 7.22.2)."""
    last = changes[0]
    for change in changes:
        if change[0] != last[0]:
            last = change
    return last[1]


def losses(truth: dict[str, list[Change]], got: dict[str, list[Change]]) -> list[str]:
    """What is wrong, in sentences.

    From the first change that arrived to the last, all must be there and in order.  Only records with an unchanged
    value may be missing.
    """
    wrong = [f"{name}: nothing arrived" for name in truth.keys() - got.keys()]
    wrong += [f"{name}: was never served" for name in got.keys() - truth.keys()]
    for name in sorted(truth.keys() & got.keys()):
        wrong += [f"{name}: {problem}" for problem in _losses_of(truth[name], got[name])]
    return wrong


def _losses_of(expected: list[Change], found: list[Change]) -> list[str]:
    wrong: list[str] = []
    place = 0
    for number, change in enumerate(found):
        if change not in expected[place:]:
            after = f"came behind {found[number - 1]}" if change in expected else "was never served"
            return [*wrong, f"{change} {after}; the record ends with {expected[-1]}"]
        at = expected.index(change, place)
        skipped = expected[place:at] if number else []
        lost = [c for c in skipped if c[0] != found[number - 1][0]]
        if lost:
            wrong.append(f"{len(lost)} missing before {change}, the first is {lost[0]}")
        place = at + 1
    return wrong
