"""The pictures of the README, from a live run: `make pictures` (or `python -m tests.pictures.take --minutes 6`).

Three simulated plants, mosquitto, a gateway for each plant and Prometheus run for some minutes, all real, on free
loopback ports; in the middle the broker is gone for a while, later one gateway is reloaded and another one restarted.
Then our renderer draws every dashboard into docker/pictures, a browser
shows the live page, and the terminal shows what `gateway demo` and `simulators describe` print.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker.grafana.render.__main__ import BOARDS, render
from docker.grafana.render.board import Span
from docker.grafana.render.picture import shrink
from simulators.plant import load
from tests.pictures.terminal import as_svg, frame
from tests.support.brokers import Process
from tests.support.browser import browsing
from tests.support.mqtt_certificates import secure_mosquitto
from tests.support.panels import OF_GROUPS
from tests.support.ports import free_port
from tests.support.programs import ROOT, SOURCE, Factory, Gateway, running
from tests.support.prometheus import Prometheus, prometheus

OUT = ROOT / "docker" / "pictures"
PLANTS = {"plants/munich": 20, "plants/end-of-line": 60, "plant": 1}
"""Plant files and how fast to live: one with rework, whose line figures no sum over machines gives, and one at the
wall's pace, whose timestamps say how old values are on arrival.
"""
OUTAGE_S = 30.0
SCRAPE_S = 5
"""As in the stack: a busy machine answers within it."""
WARM_UP_S = 60.0


@dataclass(frozen=True)
class Site:
    """What runs."""

    prometheus: Prometheus
    broker: Process
    gateways: tuple[Gateway, ...]


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """All plants, a broker, a gateway for each plant, and Prometheus; all connected when entered."""
    with ExitStack() as stack:
        broker = stack.enter_context(secure_mosquitto(folder, "set_tcp_nodelay true"))
        gateways, ports = dict[str, Gateway](), dict[str, int]()
        sites = dict[str, str]()
        for n, (plant, speed) in enumerate(PLANTS.items()):
            name = Path(plant).name
            place = folder / name
            place.mkdir()
            ports[f"factory-{name}"] = free_port()
            options = ("--speed", str(speed), "--seed", str(n + 4), "--metrics-port", str(ports[f"factory-{name}"]))
            factory = stack.enter_context(running(Factory(place, *options, plant=ROOT / "config" / f"{plant}.yaml")))
            factory.wait_said("serving")
            root = load(ROOT / "config" / f"{plant}.yaml").site
            select = {"subtree": f"nsu=urn:connected-factory:simulator;s={root}", "levels": ["line", "machine"]}
            source = SOURCE | {"name": name, "url": factory.url, "fields": {"site": root}, "select": [
                select | {"include": ["*/*/*"]}]}  # fmt: skip
            changes = {"sources": [source], "outbox": {
                "path": str(place / "outbox"), "max_bytes": "64MiB", "segment_bytes": "1MiB"},
                "broker": {**broker.sink, "client_id": f"edge-{name}", "window": 200}}  # fmt: skip
            gateway = gateways[f"edge-{name}"] = stack.enter_context(running(Gateway(place, "", "", **changes)))
            gateway.wait_ready()
            sites |= {f"edge-{name}": root.lower(), f"factory-{name}": root.lower()}
        pages = {name: gateway.http_port for name, gateway in gateways.items()}
        server = stack.enter_context(prometheus(folder, pages, ports, sites, SCRAPE_S))
        yield Site(server, broker.process, tuple(gateways.values()))


def lived(found: Site, minutes: float) -> None:
    """Let it run for so long after the first figures, the broker being away in the middle, and then a gateway."""
    time.sleep(WARM_UP_S)
    half_s = (60 * minutes - OUTAGE_S) / 2
    time.sleep(half_s)
    found.broker.kill()
    time.sleep(OUTAGE_S)
    found.broker.restart()
    time.sleep(half_s / 3)
    found.gateways[0].reload()
    time.sleep(half_s / 3)
    found.gateways[1].restart()
    time.sleep(half_s / 3)


def boards(found: Site, minutes: float, out: Path) -> None:
    """Every dashboard as a picture."""
    until_s = time.time()
    span = Span(until_s - 60 * minutes, until_s, float(SCRAPE_S))
    boards = sorted({path.stem for path in BOARDS.glob("*.json")} - {OF_GROUPS})
    for path in render(found.prometheus.url, boards, out, span, {}):
        if path.suffix == ".html":
            path.unlink()
        else:
            print(path, path.stat().st_size)


def live_page(url: str, picture: Path) -> None:
    """The live page of a gateway as a picture, with a search for tags."""

    async def body() -> None:
        async with browsing() as page:
            await page.look(1280, 1600)
            await page.open(url)
            await page.wait("document.body?.dataset.fresh === 'fresh'")
            await page.ask("document.querySelector('#words').focus()")
            for letter in "cycletime":
                await page.press(letter)
            await page.press("Enter")
            await page.wait("document.querySelector('#found tbody tr') !== null")
            await asyncio.sleep(4)  # the rates of the first seconds
            await page.picture(picture)

    asyncio.run(body())
    shrink(picture)


def terminals(out: Path) -> None:
    """The demo after its broker was away, and a plant described."""
    demo = frame(["gateway", "demo", "--outage", "20"], 108, 40, "broker down", 26.0)
    as_svg(demo, "gateway demo --outage 20", 108, out / "demo.svg")
    plant = "config/plants/body-shop.yaml"
    as_svg(frame(["simulators", "describe", plant], 84, 60), f"simulators describe {plant}", 84, out / "describe.svg")


def main() -> None:
    asked = argparse.ArgumentParser(prog="tests.pictures.take", description="Take the pictures of the README.")
    asked.add_argument("--minutes", type=float, default=6)
    asked.add_argument("--out", type=Path, default=OUT)
    asked.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, and say where")
    told = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as found:
        if told.keep:
            print(found.prometheus.url, found.broker.process.pid, flush=True)
        lived(found, told.minutes)
        boards(found, told.minutes, told.out)
        live_page(f"http://127.0.0.1:{found.gateways[0].http_port}/", told.out / "page.png")
        terminals(told.out)
        while told.keep:
            time.sleep(1)


if __name__ == "__main__":
    main()
