"""The assertions of Sparkplug 3.0 that concern an edge node, and which test names each of them.

`python -m tests.support.tck` writes the table into `docs/sparkplug.md` anew; `tests/unit/payload/test_tck.py` holds
that it is current.  Ids are those of the specification (`tck-id-…`, without that prefix here).
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "sparkplug.md"
HEAD = "| assertion | test |\n| --- | --- |\n"
JUDGE = ("tests/support/sparkplug.py", "tests/support/sparkplug_structures.py")
_ID = re.compile(r"tck-id-[A-Za-z0-9-]+")

EDGE = (ROOT / "tests" / "data" / "tck-edge-node.txt").read_text(encoding="utf-8").splitlines()
"""All that say something of an edge node or of what it sends.  The others are for hosts and brokers."""

WITHOUT = (
    (
        ("payloads-template-parameter-", "payloads-template-definition-parameters", "payloads-template-instance-para"),
        "not used: structures of OPC UA have no parameters",
    ),
    (("payloads-template-instance-members-data",), "allows less than is sent: every instance has all members"),
    (("topic-structure-namespace-duplicate-device-id",), "allows something that nothing here forbids"),
)
"""Those for which there is nothing to test, and why."""


def reason_without(tck_id: str) -> str:
    """Why there is no test; empty where there must be one."""
    return next((why for starts, why in WITHOUT if tck_id.startswith(starts)), "")


def named_by() -> dict[str, list[str]]:
    """The tests whose docstring names an assertion, by its id without the prefix."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "tck-id-" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for name in _ID.findall(ast.get_docstring(node) or ""):
                    test = f"{path.relative_to(ROOT)}::{node.name}"
                    found.setdefault(name.removeprefix("tck-id-"), []).append(test)
    return found


def judged() -> set[str]:
    """The assertions that the judge of the tests names in its findings."""
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in JUDGE]
    return {each for text in texts for each in re.findall(r'"([a-z]+(?:-[A-Za-z0-9]+)+)"', text)} & set(EDGE)


def table() -> str:
    tests, by_judge = named_by(), judged()
    lines = []
    for tck_id in sorted(EDGE):
        found = [f"`{test}`" for test in tests.get(tck_id, [])[:2]]
        if tck_id in by_judge:
            found.append("judged in every message")
        lines.append(f"| `tck-id-{tck_id}` | {', '.join(found) or reason_without(tck_id)} |")
    return HEAD + "\n".join(lines) + "\n"


def rewritten(document: str) -> str:
    """The document with the present table at its end."""
    return document[: document.index(HEAD)] + table()


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
