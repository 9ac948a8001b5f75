"""Scripts as a person would write them: node-opcua with mqtt.js, asyncua with aiomqtt (`scripts/`)."""

from collections.abc import Callable

from tests.bench.chain.contestants.entry import SCRIPTS, Command, Contestant, Setting
from tests.bench.chain.install import NODE, SCRIPT, node_program


def _node(mode: str) -> Callable[[Setting], Command]:
    def command(setting: Setting) -> Command:
        words = [node_program(), "--max-old-space-size=4096", str(SCRIPTS / "script.js"), setting.url]
        words += [str(setting.variables), str(setting.mqtt_port), mode]
        return Command(words, {"NODE_PATH": str(NODE.folder / "node_modules")})

    return command


def _python(mode: str) -> Callable[[Setting], Command]:
    def command(setting: Setting) -> Command:
        words = [str(SCRIPT.python), str(SCRIPTS / "script.py"), setting.url, str(setting.variables)]
        words += [str(setting.mqtt_port), mode, *([str(setting.pki)] if setting.pki else [])]
        return Command(words)

    return command


_SECURE = frozenset(("secure",))
BY_HAND = (
    Contestant("node", "Node script, a message per response", "list", _node("response"), ("node",)),
    Contestant("node-value", "Node script, a message per value", "one", _node("value"), ("node",)),
    Contestant(
        "python", "Python script, a message per response", "list", _python("response"), ("python",), can=_SECURE
    ),
    Contestant("python-value", "Python script, a message per value", "one", _python("value"), ("python",), _SECURE),
)
