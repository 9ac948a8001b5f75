"""What the documents name exists: paths, modules, classes, commands of `make`, links; and they keep their form."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "DECISIONS.md")
EXTENSIONS = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".txt", ".png", ".svg", ".service"}
PACKAGES = ("gateway", "simulators", "tests", "docker", "release")
OF_THE_USER = {"my-gateway.yaml", "my-plant.yaml", "select.yaml", "strongest.json"}
"""Files that a user or a running gateway makes."""
OF_OTHERS = {
    "CancelledError", "CertificateExpired", "CloudEvents", "CreateSubscription", "CurrentTime", "DataSetMessage",
    "GetEndpoints", "MessageId", "NetworkMessage", "Protocol", "PublishRequest", "Republish", "SecurityPolicy",
    "SequenceNumber", "SignAndEncrypt", "Store", "StatusCode", "TaskGroup", "TransferSubscriptions", "Gaps",
    "PYTHONUNBUFFERED", "PATH", "NO_COLOR", "LoadCredential", "Unreleased", "README", "CI", "SIGTERM", "SIGHUP", "ARGS",
}  # fmt: skip
"""Names of protocols, of libraries and of the system."""
MOST_COLUMNS = 110
MOST_LINES_OF_A_DECISION = 15


@cache
def tracked() -> frozenset[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return frozenset(name for name in found if name and (ROOT / name).exists())


@cache
def folders() -> frozenset[str]:
    return frozenset(str(parent) for name in tracked() for parent in Path(name).parents) - {"."}


@cache
def ends() -> frozenset[str]:
    """Each file and folder by all of its last names: `gateway/run/app.py` also as `run/app.py` and `app.py`."""
    parts = [name.split("/") for name in tracked() | folders()]
    return frozenset("/".join(names[n:]) for names in parts for n in range(len(names)))


@cache
def defined() -> dict[str, set[str]]:
    """Names at the top of each module of ours, and those inside its classes as `Class.name`; "" has them all."""
    found: dict[str, set[str]] = {"": set()}
    for name in tracked():
        path = Path(name)
        if path.suffix == ".py" and path.parts[0] in PACKAGES:
            module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            found[module] = set(_names(ast.parse((ROOT / name).read_text(encoding="utf-8")).body))
            found[""] |= found[module]
    runbook = (ROOT / "docker/prometheus/RUNBOOK.md").read_text(encoding="utf-8")
    found[""] |= set(re.findall(r"^## (\w+)$", runbook, re.MULTILINE))  # the alerts
    return found


def _names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                yield prefix + name
                yield from _names(node.body, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
                if name == "__init__":
                    for each in ast.walk(node):
                        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
                            yield prefix + each.attr
            case ast.Assign(targets=targets):
                yield from (prefix + each.id for each in targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def spans(text: str) -> list[str]:
    """What stands in backticks, outside of fenced blocks."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def is_path(span: str) -> bool:
    if not re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)*/?", span):
        return False
    first = span.split("/")[0]
    if "/" in span and not span.startswith("var/"):
        return first in folders() or Path(span).suffix in EXTENSIONS
    return Path(span).suffix in EXTENSIONS and "/" not in span


def problem_of(span: str) -> str:
    """What is wrong with this name; empty when nothing is, or when it is none of ours."""
    if span in OF_THE_USER | OF_OTHERS:
        return ""
    if "::" in span:
        path, _, name = span.partition("::")
        return (
            ""
            if path in tracked() and name in defined()[path.removesuffix(".py").replace("/", ".")]
            else "no such test"
        )
    if is_path(span):
        return "" if span.rstrip("/") in ends() else "no such file"
    if target := re.match(r"make ([a-z-]+)", span):
        return "" if f"\n{target[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8") else "no such target"
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", span):
        return problem_of_dotted(span)
    if re.fullmatch(r"[A-Z][a-z]+([A-Z]\w*)|[A-Z]+(_[A-Z]+)+", span):
        return "" if span in defined()[""] else "no such name"
    return ""


def problem_of_dotted(span: str) -> str:
    modules = defined()
    head, rest = span.split(".", 1)
    if head in PACKAGES:
        parts = span.split(".")
        if span in modules or span.replace(".", "/") in folders():
            return ""
        return "" if any(".".join(parts[n:]) in modules.get(".".join(parts[:n]), ()) for n in (1, 2, 3, 4)) else "gone"
    if head[0].isupper():
        return "" if span in modules[""] or head in OF_OTHERS or head not in _classes() else "no such member"
    if rest[0].isupper():
        named = [names for module, names in modules.items() if module.rsplit(".", 1)[-1] == head]
        return "" if not named or any(rest in names for names in named) else "no such name in that module"
    return ""


@cache
def _classes() -> set[str]:
    return {name.split(".")[0] for name in defined()[""]}


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/commands.md", "docs/first-hour.md"])
def test_files_and_names_in_a_document_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    wrong = {span: problem for span in spans(text) if (problem := problem_of(span))}
    assert not wrong, f"{document} names what is not there: {wrong}"


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_in_a_document_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    goals = re.findall(r"\]\(([^)#\s]+)", text)
    gone = [goal for goal in goals if "://" not in goal and not (ROOT / goal).exists()]
    assert not gone, f"{document} links to {gone}"


@pytest.mark.parametrize(
    ("span", "is_wrong"),
    [
        ("gateway/pipeline/collect.py", False),
        ("subscription/publisher.py", False),
        ("gateway/pipeline/gone.py", True),
        ("gone.py", True),
        ("tests/unit/test_documents.py::test_prose_is_wrapped", False),
        ("tests/unit/test_documents.py::test_gone", True),
        ("Backoff.wait_s", False),
        ("Backoff.gone", True),
        ("link.Backoff", False),
        ("link.Gone", True),
        ("gateway.outbox.recent", False),
        ("gateway.outbox.gone", True),
        ("GoneName", True),
        ("make test", False),
        ("make gone", True),
        ("broker.replay.order", False),
        ("var/outbox", False),
    ],
)
def test_the_check_reports_missing_names(span: str, is_wrong: bool) -> None:
    assert bool(problem_of(span)) is is_wrong


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_prose_is_wrapped(document: str) -> None:
    """Tables, links, code and headings may be longer."""
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in text.split("\n") if len(line) > MOST_COLUMNS]
    long = [line for line in lines if not line.startswith(("|", "#", "![")) and "](" not in line]
    assert not long, f"{document}: wrap at about 100 columns: {long}"


def decisions() -> dict[str, str]:
    text = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {part.split("\n")[0]: part.split("\n", 1)[1].strip() for part in parts}


@pytest.mark.parametrize("title", decisions())
def test_a_decision_is_short_and_says_what_was_refused_and_what_it_costs(title: str) -> None:
    body = decisions()[title]
    assert len(body.split("\n")) <= MOST_LINES_OF_A_DECISION
    assert re.search(r"\bRefused\b", body), "say what was refused"
    assert re.search(r"\bCost:", body), "say what it costs"


def test_the_version_stands_in_one_place() -> None:
    """`importlib.metadata` gives it to whoever needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    word = re.compile(rf"(?<![\d.]){re.escape(project['version'])}(?![\d.])")
    kinds = {".py", ".yaml", ".yml", ".service", ""}
    named = [
        name for name in tracked()
        if Path(name).parts[0] in ("gateway", "simulators", "docker", "release") and Path(name).suffix in kinds
        and word.search((ROOT / name).read_text(encoding="utf-8"))
    ]  # fmt: skip
    assert not named
