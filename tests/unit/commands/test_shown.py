"""docs/commands.md has a command for each operation and each codec, and they ask for what they say."""

import re
import shlex
import time
import uuid
from pathlib import Path

import pytest

from gateway.cli.command_requests import Wish, body_of
from gateway.cli.verbs import Verb
from gateway.commands.arrival import hall_of, read
from gateway.commands.codecs.choose import CODECS
from gateway.commands.request import OPERATIONS
from gateway.config.commands import OF_CLOUDS
from gateway.delivery import Packet
from tests.support.commands import commands

README = (Path(__file__).parents[3] / "docs/commands.md").read_text(encoding="utf-8")
ASKED = re.findall(r"^\|[^|]+\| `gateway command ([^`]*)`", README, flags=re.MULTILINE)
PUBLISHED = re.findall(
    r"^\| `([a-z-]+)`[^|]*\|[^|]*\| `mosquitto_pub .*?-t (\S+) .*?-m '(.*)'` \|$", README, flags=re.MULTILINE
)
OF_OTHERS = {"native", "sparkplug", *OF_CLOUDS}
"""The client has the first, host applications of Sparkplug and the clouds have the others."""


def items_of(words: list[str]) -> list[str]:
    """Without the options; all of them have a value here."""
    found: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if not before.startswith("--") and not word.startswith("--"):
            found.append(word)
    return found


def test_every_operation_is_shown_with_a_command_that_makes_its_request() -> None:
    shown = set()
    for text in ASKED:
        _, _, verb, *words = shlex.split(text)
        shown.add(body_of(Verb(verb), items_of(words), Wish())["operation"])
    assert shown == set(OPERATIONS)


@pytest.mark.parametrize("codec", sorted(CODECS.keys() - OF_OTHERS))
def test_every_codec_is_shown_with_a_message_that_it_reads(codec: str) -> None:
    [(topic, payload)] = [(topic, message) for name, topic, message in PUBLISHED if name == codec]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    payload = payload.replace("'$(uuidgen)'", str(uuid.uuid4())).replace("'$(date -u +%FT%TZ)'", now)
    config = commands({"source": "press-shop", "subtree": "i=85", "read": True}, codecs=[{"format": codec}])
    endpoints = dict.fromkeys(("press-shop", "opc.tcp://press:4840"), ("press-shop",))
    packet = Packet(topic, payload.encode(), expiry_s=30, correlation=b"7d0f")
    [arrival] = read(packet, hall_of("edge-1", config, endpoints), "broker", time.time_ns())
    assert arrival.error is None, arrival.error
    assert (arrival.asked.source, arrival.asked.request.tags if arrival.asked.request else ()) == (
        "press-shop", ("press-1/SpeedFactor",)
    )  # fmt: skip
