"""The configuration that `gateway init` writes, with comments.  Pure: from answers to text."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from gateway.opcua.explore import Browsed

Tree = dict[str, object]
TOPICS = (
    ("factory/{source}/{path}", "a message for each machine, with its values in a list"),
    ("factory/{source}/{path}/{tag}", "a topic for each variable, retained (Unified Namespace)"),
    ("{gateway}/{source}", "one topic for all of it"),
)
"""Proposed topics, and what they are."""


@dataclass
class Answers:
    """What was asked and found."""

    name: str
    source: str
    url: str
    pki: str
    insecure: bool = False
    username: str | None = None
    password: Tree | None = None
    select: list[Tree] = field(default_factory=list)
    broker: Tree = field(default_factory=dict)
    topic: str = TOPICS[0][0]
    facts: Sequence[str] = ()
    """What the server said of itself, for comments."""

    @property
    def source_tree(self) -> Tree:
        tree: Tree = {"name": self.source, "url": self.url}
        tree |= {"insecure": True} if self.insecure else {"security": {"pki": self.pki}}
        if self.username is not None:
            tree |= {"username": self.username, "password": self.password}
        return tree

    @property
    def tree(self) -> Tree:
        """The configuration itself."""
        return {
            "name": self.name,
            "sources": [{**self.source_tree, "select": self.select}],
            "broker": self.broker,
            "payload": {"topic": self.topic},
            "outbox": {"path": f"var/outbox-{self.name}", "max_bytes": "1GiB"},
        }


def everything(root_id: str) -> list[Tree]:
    return [{"subtree": root_id, "levels": ["path"]}]


def of_objects(found: Browsed, paths: Sequence[str]) -> list[Tree]:
    """A subtree for each object; objects below a chosen one are in it already."""
    ids = {each.path: each.node_id for each in found.objects}
    top = [path for path in sorted(set(paths)) if not any(path.startswith(f"{above}/") for above in paths)]
    return [{"subtree": ids[path], "fields": {"path": path}, "levels": ["path"]} for path in top]


def of_variables(found: Browsed, paths: Sequence[str]) -> list[Tree]:
    ids = {each.path: each.node_id for each in found.entries}
    split = [(path, *path.rpartition("/")[::2]) for path in paths]
    return [{"node": ids[path], "name": name, "fields": {"path": above}} for path, above, name in split]


def of_types(type_ids: Sequence[str]) -> list[Tree]:
    return [{"type": each, "levels": ["path"]} for each in type_ids]


def written(answers: Answers) -> str:
    """The file."""
    tree = answers.tree
    facts = "".join(f"    # {_plain(line)}\n" for line in answers.facts)
    select = "".join(f"      {line}\n" for line in _yaml(answers.select).splitlines())
    source = "".join(f"    {line}\n" for line in _yaml(answers.source_tree).splitlines())
    return (
        f"# Made by `gateway init`.  Every key: config/reference.md, or `gateway schema config`.\n"
        f"# Next: gateway plan FILE, then gateway run FILE.\n"
        f"{_yaml({'name': tree['name']})}\n"
        f"sources:\n{facts}  - {source[4:]}"
        f"    publishing_interval: 250ms  # how often the server sends changes\n"
        f"    # {{path}} in the topic: the objects of the tree, as many levels as there are\n"
        f"    select:\n{select}\n"
        f"# One broker; `brokers` has several, each with its own payload.\n{_yaml({'broker': tree['broker']})}\n"
        f"# `{{gateway}}`, `{{source}}`, `{{tag}}`, and the fields of the selections; `format` has others than JSON.\n"
        f"{_yaml({'payload': tree['payload']})}\n"
        f"# The disk between servers and broker: what is not delivered waits here, also over a restart.\n"
        f"{_yaml({'outbox': tree['outbox']})}\n"
        f"# Metrics and health, for this machine only; `host: 0.0.0.0` opens them to the network.\n"
        f"http:\n  host: 127.0.0.1\n  port: 9464\n"
    )


def _yaml(tree: object) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=False, width=100_000)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
