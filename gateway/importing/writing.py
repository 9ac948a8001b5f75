"""An imported configuration as YAML with comments, which `gateway validate` takes and a person can go on with."""

from collections.abc import Iterator

import yaml

from gateway.importing.imported import Imported, ImportedSource, Tree

_DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def written(found: Imported, name: str, broker: str) -> Iterator[str]:
    """The file in pieces."""
    yield f"# Made by `gateway import` of {_comment(found.origin)}.\n"
    yield "# Next: gateway validate FILE, then gateway plan FILE, which asks the servers.\n"
    variables = [s.settings["password"] for s in found.sources if isinstance(s.settings.get("password"), dict)]
    for each in variables:
        assert isinstance(each, dict)
        yield f"# Set the environment variable {each['env']} to the password of {_users(found, each)}.\n"
    if found.notes.lines:
        yield "#\n# Not taken over:\n"
        for line in found.notes.lines:
            yield f"#   {_comment(line)}\n"
    yield "\n" + _yaml({"name": name})
    yield "\nsources:\n"
    for source in found.sources:
        yield from _source(source)
    yield "\n" + _yaml({"broker": {"url": broker, **found.broker}})
    yield "\n" + _yaml({"payload": found.payload})
    yield "\n" + _yaml({"outbox": {"path": f"var/outbox-{name}"}})


def _users(found: Imported, password: dict[str, object]) -> str:
    return next(str(s.settings["username"]) for s in found.sources if s.settings.get("password") == password)


def _source(source: ImportedSource) -> Iterator[str]:
    settings = dict(source.settings)
    if "insecure" in settings:
        yield "  # `insecure` as in the file that was imported: no encryption, no authentication\n"
    yield _item(settings, "  ")
    yield "    select:\n"
    for selection, comment in source.select:
        if comment:
            yield f"      # {_comment(comment)}\n"
        yield _item(selection, "      ")


def _item(tree: Tree, indent: str) -> str:
    """A tree as an element of a list."""
    text = _yaml([tree]).rstrip("\n")
    return "".join(f"{indent}{line}\n" for line in text.split("\n"))


def _yaml(tree: object) -> str:
    return str(yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=False, width=100_000))


def _comment(text: str) -> str:
    """What would end the line is not in it."""
    return "".join(character if character.isprintable() else " " for character in text)
