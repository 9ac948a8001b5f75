"""What a scrape of a gateway with 10 000 tags costs: bytes, and time."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto
from tests.support.programs import SOURCE, Factory, Gateway, running, wait_until

pytestmark = pytest.mark.slow
TAGS, SHOWN = 10_000, 1000
PLANT = f"""
name: many
site: bench
security: [None]
stress: [{{name: doubles, variables: {TAGS}, rate: 0.2, type: double}}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("many")
    plant = folder / "many.yaml"
    plant.write_text(PLANT, encoding="utf-8")
    select = [{"subtree": "nsu=urn:connected-factory:simulator;s=bench", "levels": ["line", "machine"], "metric": True}]
    with mosquitto(folder) as broker, running(Factory(folder, plant=plant)) as factory:
        factory.wait_said("serving")
        source = {**SOURCE, "url": factory.url, "select": select, "publishing_interval": "500ms"}
        with running(Gateway(folder, factory.url, broker.url, sources=[source])) as found:
            found.wait_ready()
            wait_until(lambda: found.total("gateway_values_delivered_total") >= TAGS, "every tag to have come")
            yield found


def scraped(gateway: Gateway, path: str) -> tuple[bytes, float]:
    """The page and how long it took, at the best of ten: this machine has other work, too."""
    times = []
    for _ in range(10):
        began_s = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.http_port}{path}", timeout=30) as answer:
            page: bytes = answer.read()
        times.append(time.perf_counter() - began_s)
    return page, min(times)


def test_a_scrape_of_ten_thousand_tags_is_small_and_quick(gateway: Gateway) -> None:
    assert gateway.metrics['gateway_source_monitored_items{source="line-1",state="good"}'] >= TAGS
    page, took_s = scraped(gateway, "/metrics")
    print(f"/metrics: {len(page)} bytes in {1000 * took_s:.1f} ms")
    assert len(page) < 1_000_000
    assert took_s < 1  # the goal of 50 ms is for `python -m tests.bench.bench_scrape`


def test_chosen_tags_are_exported_up_to_the_cap_and_the_rest_is_counted(gateway: Gateway) -> None:
    page, took_s = scraped(gateway, "/metrics/tags")
    print(f"/metrics/tags: {len(page)} bytes in {1000 * took_s:.1f} ms")
    assert page.count(b"\ngateway_tag_value{") == SHOWN
    assert len(page) < 1_000_000
    assert took_s < 1
    assert gateway.metrics['gateway_series_left_out{page="tags"}'] >= TAGS - SHOWN
    assert gateway.said("chosen tags are not shown") == 1
