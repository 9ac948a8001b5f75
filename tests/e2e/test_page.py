"""The live page in a real browser, before a real gateway whose peers fail: every state is told, to everybody.

One site serves all: a plant, a broker with an access list, and a gateway with a token.  Its faults: a variable that the
server does not have, a certificate that nobody has trusted, a topic that the broker refuses, a broker that is killed,
messages that are too large for it, and a gateway that is stopped.
"""

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from docker.grafana.render.picture import chromium
from gateway.commands.audit import ACTS, lines_in, verify
from tests.support.brokers import Process, mosquitto
from tests.support.browser import Page, browsing
from tests.support.ports import free_port
from tests.support.programs import ROOT, SOURCE, SUBTREE, Factory, Gateway, ran, running, wait_until

AXE = ROOT / "tests/peers/node_modules/axe-core/axe.min.js"
TOKEN = "a token of the test"
NODE = "nsu=urn:connected-factory:simulator;s=line-1/assembly/CycleTime"
PHONE, DESK = 390, 1280
STRUCTURE = {
    "Sources": ["Source", "State and why", "Since", "Tags", "Values/s", "Age of the newest", "Gaps in 24 h"],
    "Brokers": ["Broker", "State and why", "Since", "On the disk", "Values/s", "Refused", "Lost"],
    "Machines": ["Machine", "State", "Good parts", "Scrap"],
    "Who has what in the group": ["Source or broker", "Member", "Since"],
    "The last ten minutes": ["Minute", "Delivered per second", "Values on the disk, at most"],
    "Certificates that wait for trust": [
        "Certificate", "Thumbprint", "Of", "Valid until", "The command that trusts it",
    ],
    "Tags": [
        "Tag", "Last value", "Status", "Source time", "Server time", "Age", "Topic and route", "Held back by a rule",
    ],
    "Not delivered in the last 24 hours": ["Announced", "Source", "Why", "Values", "From", "To"],
    "What happened last": ["Time", "What", "Why", "The command that helps"],
    "Act": [],
}  # fmt: skip
"""Sections of the page with the columns of their tables."""


CURVES = (
    "[...document.querySelectorAll('#graph path')]"
    ".map(path => path.getAttribute('d').slice(1).split('L').map(point => point.split(' ').map(Number)))"
)
"""The two curves as points of their charts: values delivered, and on the disk."""
FULL, EMPTY = 4, 96
"""Where a chart has its highest value, and where 0 is."""
USABLE = (
    "[...document.querySelectorAll('a[href], button, input, select, summary')]"
    ".filter(each => each.checkVisibility({checkVisibilityCSS: true}))"
)
NAME = "each => each.getAttribute('aria-label') || each.id || each.textContent"


@dataclass(frozen=True)
class Site:
    gateway: Gateway
    broker: Process
    folder: Path
    url: str


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    token, rights = folder / "token", folder / "acl"
    token.write_text(f"{TOKEN}\n")
    allowed = ("factory/hall-1/line-1/assembly", "factory/hall-1/secure/#", "factory/hall-1/x/y")
    rights.write_text("".join(f"topic write {topic}\n" for topic in allowed))
    for private in (token, rights):
        private.chmod(0o600)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder, f"acl_file {rights}"))
        options = ("--security", "Basic256Sha256", "--pki", str(folder / "server-pki"))
        factory = stack.enter_context(running(Factory(folder, *options)))
        factory.wait_said("serving")
        held, port = {"deadband": 1e9}, free_port()
        plain = SOURCE | {"url": factory.url, "select": [
            SUBTREE | {"include": ["*/assembly/*"], "shape": held, "role": "auto"},
            SUBTREE | {"include": ["*/SetPoints/*"]},
            {"node": "nsu=urn:connected-factory:simulator;s=nowhere", "fields": {"line": "x", "machine": "y"}},
        ]}  # fmt: skip
        secure = {
            "name": "secure", "url": factory.url, "security": {"pki": str(folder / "pki")}, "select": [{"node": NODE}],
            "publishing_interval": "100ms", "fields": {"site": "hall-1", "line": "secure", "machine": "m"},
        }  # fmt: skip
        gateway = stack.enter_context(running(Gateway(
            folder, "", broker.url, sources=[plain, secure],
            broker={"url": broker.url, "retry_refused": "1h", "presence": {"topic": None}},
            http={"token": {"file": str(token)}, "port": port},
        )))  # fmt: skip
        yield Site(gateway, broker, folder, f"http://127.0.0.1:{port}")


class People:
    """What people do and see on the page."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.site = page, site

    async def sees(self, where: str, *texts: str) -> None:
        for text in texts:
            await self.page.wait(f"document.querySelector({json.dumps(where)})?.innerText.includes({json.dumps(text)})")

    async def has_no_barrier(self, what: str, *looks: tuple[int, bool]) -> None:
        """So wide, dark or not, axe finds nothing, and nothing is wider than the window."""
        for width, dark in looks:
            await self.page.look(width, dark=dark)
            found = await self.page.ask(
                "axe.run(document, {resultTypes: ['violations']})"
                ".then(found => found.violations.map(each => each.id + ': ' + each.nodes[0].html))"
            )
            assert found == [], f"{what}, {width} wide: {found}"
            assert await self.page.ask("document.documentElement.scrollWidth <= innerWidth"), f"{what}: too wide"
        await self.page.look(DESK)

    async def types(self, where: str, text: str) -> None:
        """With the keyboard, and Enter at the end."""
        await self.page.ask(f"document.querySelector({json.dumps(where)}).focus()")
        for letter in text:
            await self.page.press(letter)
        await self.page.press("Enter")

    async def presses(self, label: str) -> None:
        """A button by its name, with the keyboard."""
        await self.page.wait(f"document.querySelector('[aria-label^=\"{label}\"]') !== null")
        await self.page.ask(f"document.querySelector('[aria-label^=\"{label}\"]').focus()")
        await self.page.press("Enter")

    async def structure(self) -> dict[str, list[str]]:
        told = await self.page.ask(
            "Object.fromEntries([...document.querySelectorAll('main section:not(#ask)')].map(s => "
            "[s.querySelector('h2').textContent, [...s.querySelectorAll('thead th')].map(h => h.textContent)]))"
        )
        assert isinstance(told, dict)
        return told


@pytest.mark.skipif(chromium() is None or not AXE.exists() or shutil.which("mosquitto") is None, reason="needs peers")
def test_the_page_tells_every_fault_to_everybody(tmp_path: Path) -> None:
    async def body() -> None:
        async with browsing() as page:
            people = People(page, at)
            await page.look(DESK)
            await page.open(at.url)
            await page.wait("document.body?.dataset.fresh === 'fresh'", 60)
            await page.ask(f"{AXE.read_text()};true")
            await the_faults_of_peers(people)
            await the_tags(people)
            await acts(people)
            await an_outage(people)
            await a_lost_value(people)
            await a_walk_with_the_keyboard(people)
            await a_feed_that_stops(people)
            assert page.complaints == []
            assert {url for url in page.requested if not url.startswith((f"{at.url}/", "data:"))} == set()

    with site(tmp_path) as at:
        asyncio.run(body())
        what_was_lost_is_known_after_a_crash(at)


async def the_faults_of_peers(people: People) -> None:
    await people.sees("#verdict", "1 of 2 sources is away", "1 tag is bad", "1 topic is refused", "nothing is lost")
    await people.sees("#sources", "1 refused by the server", "nobody has said that it may be trusted")
    await people.sees("#brokers", "factory/hall-1/line-1/SetPoints", "does not let this client publish")
    await people.sees("#certificates", "gateway cert trust ", str(people.site.folder / "pki"))
    await people.sees("#machines", "assembly", "by line-1", "for ")
    await people.sees("#gaps", "not_available", "BadNodeIdUnknown")
    await people.sees("#events", "cannot be subscribed to", f"gateway plan {people.site.gateway.config_path}")
    assert await people.structure() == STRUCTURE
    await people.has_no_barrier("with faults", (DESK, False), (PHONE, True))


async def the_tags(people: People) -> None:
    await people.types("#words", "assembly cycletime")
    await people.sees("#matches", "found")
    await people.sees("#found", "line-1: CycleTime", "Good (0x00000000)", "factory/hall-1/line-1/assembly", "to broker")
    await people.sees("#found", "deadband 1000000000.0", "held back in", "T")
    await people.types("#words", " nowhere-at-all")
    await people.sees("#matches", "0 tags found")


async def an_outage(people: People) -> None:
    people.site.broker.kill()
    await people.sees("#verdict", "the broker is away", "nothing is lost")
    await people.sees("#brokers", "oldest")
    await people.page.wait(
        f"(([delivered, stored]) => stored.some(([, y], n) => y < {EMPTY} && delivered[n][1] === {EMPTY}))({CURVES})"
    )  # waiting, and nothing delivered
    people.site.broker.restart()
    await people.page.wait("!document.querySelector('#verdict').innerText.includes('the broker is away')")
    await people.page.wait(f"{CURVES}[0].at(-1)[1] < {EMPTY}")
    told = await people.page.ask(CURVES)
    assert isinstance(told, list)
    for curve in told:
        times = [x for x, _ in curve]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= 600
        assert min(y for _, y in curve) == FULL  # the highest point is what the figure says beside it


async def a_lost_value(people: People) -> None:
    sink = people.site.gateway.config["broker"]
    assert isinstance(sink, dict)
    await asyncio.to_thread(people.site.gateway.reload, broker={**sink, "max_packet": "150B"})
    await people.sees("#verdict", "lost since the start (too_large)")
    await people.sees("#brokers", "too_large")
    assert await people.page.ask("document.querySelector('#verdict').dataset.level") == "bad"


async def a_walk_with_the_keyboard(people: People) -> None:
    """Tab by Tab, on a phone's width: everything that can be used, in the order of the page, and seen to be reached."""
    await people.page.look(PHONE)
    await people.page.ask("document.activeElement.blur(); document.querySelector('.skip').focus()")
    wanted = await people.page.ask(f"{USABLE}.map(each => ({NAME})(each))")
    assert isinstance(wanted, list)
    walked: list[object] = []
    for _ in wanted:
        assert await people.page.ask("getComputedStyle(document.activeElement).outlineStyle") != "none", walked[-1:]
        walked.append(await people.page.ask(f"({NAME})(document.activeElement)"))
        await people.page.press("Tab")
    assert walked == wanted
    small = await people.page.ask(
        f"{USABLE}.filter(each => each.matches('button, input, select') && each.getBoundingClientRect().height < 24)"
        f".map(each => ({NAME})(each))"
    )
    assert small == []
    await people.page.look(DESK)


async def acts(people: People) -> None:
    await people.types("#act-token", TOKEN)
    await people.presses("Trust: the certificate of")
    await people.sees("#told", "is trusted")
    await people.sees("#verdict", "all 2 sources are connected")
    await people.page.wait("document.querySelector('#waiting').hidden")
    await people.presses("Offer again: the refused messages of broker")
    await people.sees("#told", "refused messages are offered to broker again")
    await people.page.ask("document.querySelector('#reload').focus()")
    await people.page.press("Enter")
    await people.sees("#told", "nothing changed")
    folder = people.site.folder / "outbox" / ACTS
    noted = [json.loads(line) for _, _, line in lines_in(folder)]
    assert [(each["operation"], each["outcome"]) for each in noted] == [
        (act, outcome) for act in ("trust", "release", "reload") for outcome in ("accepted", "done")
    ]
    assert verify(folder).problems == ()


async def a_feed_that_stops(people: People) -> None:
    people.site.gateway.process.send_signal(signal.SIGSTOP)
    await people.sees("#stale", "No news from the gateway since")
    assert await people.page.ask("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    await people.has_no_barrier("when stale", (PHONE, False))
    people.site.gateway.process.send_signal(signal.SIGCONT)
    await people.page.wait("document.body.dataset.fresh === 'fresh' && document.querySelector('#stale').hidden")


def what_was_lost_is_known_after_a_crash(at: Site) -> None:
    at.gateway.kill()
    at.gateway.restart()
    at.gateway.wait_said("started", times=2)
    wait_until(lambda: ran("gateway", "losses", "--url", at.url).returncode != 69, "the port to be open again")
    told = ran("gateway", "losses", "--url", at.url)
    assert told.returncode == 1, told.stderr
    assert "too_large" in told.stdout, told.stdout
    assert "BadNodeIdUnknown" in told.stdout
