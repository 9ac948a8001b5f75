"""NodeSet2 files on a server: checked as a whole before the first node is added.

A file that is not well-formed, too large, of another kind, with entities, with a node twice, or with a reference to a
node that neither it nor the server has, is an error with file and line, and nothing of it is served.
"""

import xml.parsers.expat as expat
from pathlib import Path

from asyncua import Server, ua

from simulators.errors import ConfigError

MOST_BYTES = 64 * 2**20
MOST_NODES = 200_000
MOST_TOLD = 10
SPACE = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"


class _Checked:
    """What a pass over the file has found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.nodes: dict[str, int] = {}
        self.parents: list[tuple[str, int]] = []
        self.depth = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def run(self) -> None:
        try:
            with self.path.open("rb") as file:
                self._parser.ParseFile(file)
        except expat.ExpatError as error:
            text = expat.ErrorString(error.code)
            raise ConfigError([*self.problems, f"{self.path}:{error.lineno}: not well-formed: {text}"]) from error

    def _say(self, text: str) -> None:
        if len(self.problems) < MOST_TOLD:
            self.problems.append(f"{self.path}:{self._parser.CurrentLineNumber}: {text}")

    def _doctype(self, *_: object) -> None:
        raise ConfigError([f"{self.path}:{self._parser.CurrentLineNumber}: a NodeSet has no DOCTYPE"])

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition(" ")
        self.depth += 1
        if self.depth == 1 and (space, name) != (SPACE, "UANodeSet"):
            raise ConfigError([f"{self.path}:{self._parser.CurrentLineNumber}: no UANodeSet, but {name}"])
        if self.depth == 2 and name.startswith("UA"):
            self._node(attributes)

    def _node(self, attributes: dict[str, str]) -> None:
        line, node_id = self._parser.CurrentLineNumber, attributes.get("NodeId", "")
        if len(self.nodes) >= MOST_NODES:
            raise ConfigError([f"{self.path}:{line}: more than {MOST_NODES} nodes"])
        try:
            ua.NodeId.from_string(node_id)
        except (ua.UaStringParsingError, ValueError):
            self._say(f"{node_id!r} is no node id")
        if node_id in self.nodes:
            self._say(f"the node {node_id} is there twice: first in line {self.nodes[node_id]}")
        self.nodes.setdefault(node_id, line)
        if "BrowseName" not in attributes:
            self._say(f"the node {node_id} has no BrowseName")
        if parent := attributes.get("ParentNodeId"):
            self.parents.append((parent, line))

    def _end(self, tag: str) -> None:
        self.depth -= 1


def check_nodeset(path: Path) -> None:
    """Raises `ConfigError` with every mistake and its place."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    if size > MOST_BYTES:
        raise ConfigError([f"{path}: {size / 2**20:.0f} MB; at most {MOST_BYTES // 2**20} MB"])
    checked = _Checked(path)
    checked.run()
    standard = ("i=", "ns=0;")
    own = [(p, line) for p, line in checked.parents if p not in checked.nodes and not p.startswith(standard)]
    index_of_others = {node_id.partition(";")[0] for node_id in checked.nodes}
    lost = [(p, line) for p, line in own if p.partition(";")[0] in index_of_others]
    problems = checked.problems + [f"{path}:{line}: the parent {parent} is nowhere" for parent, line in lost]
    if not checked.nodes:
        problems.append(f"{path}: no nodes")
    if problems:
        raise ConfigError(problems[:MOST_TOLD])


async def add_nodeset(server: Server, path: Path) -> int:
    """Add the nodes of a file that has been checked.  Returns their number.  Raises `ConfigError`."""
    before = len(list(server.iserver.aspace.keys()))
    try:
        await server.import_xml(str(path))
    except (ua.UaError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ConfigError([f"{path}: cannot be added: {type(error).__name__}: {error}"]) from error
    return len(list(server.iserver.aspace.keys())) - before
