"""Compare what a subscriber got with what the simulators say they served."""

from collections import defaultdict

Change = tuple[object, str]
"""(value, source time)."""

PREFIX = "nsu=urn:connected-factory:simulator;s="


def served(record: list[dict[str, object]]) -> dict[str, list[Change]]:
    """By variable (`line-1/press-1/State`): what the server was given, in order."""
    found: dict[str, list[Change]] = defaultdict(list)
    for line in record:
        found[str(line["node"]).removeprefix(PREFIX)].append((line["value"], str(line["source_time"])))
    return dict(found)


def arrived(changes: list[tuple[str, str, object, str]], root: str = "factory/hall-1/") -> dict[str, list[Change]]:
    """By variable: what the subscriber got, in order; the same value at the same instant counts once."""
    found: dict[str, list[Change]] = defaultdict(list)
    for topic, name, value, time in changes:
        kept = found[f"{topic.removeprefix(root)}/{name}"]
        if (value, time) not in kept[-3:]:
            kept.append((value, time))
    return dict(found)


def losses(truth: dict[str, list[Change]], got: dict[str, list[Change]]) -> list[str]:
    """What is wrong, in sentences: between the first and the last change that arrived, every one must be there."""
    wrong = [f"{name}: nothing arrived" for name in truth.keys() - got.keys()]
    wrong += [f"{name}: nobody served it" for name in got.keys() - truth.keys()]
    for name in sorted(truth.keys() & got.keys()):
        expected, found = truth[name], got[name]
        if found[0] not in expected or found[-1] not in expected:
            wrong.append(f"{name}: {found[0]} or {found[-1]} was never served")
            continue
        expected = expected[expected.index(found[0]) : expected.index(found[-1]) + 1]
        if expected != found:
            missing = [change for change in expected if change not in found]
            wrong.append(f"{name}: {len(missing)} of {len(expected)} missing, the first {missing[:1]}")
    return wrong
