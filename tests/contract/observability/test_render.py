"""Our renderer draws a dashboard from live data: the browser's own reading of the page, and its pixels."""

import re
import time
from pathlib import Path

import pytest
from PIL import Image

from docker.grafana.render.__main__ import render
from docker.grafana.render.board import Span
from docker.grafana.render.picture import chromium, dom_of
from tests.support.panels import panels
from tests.support.prometheus import Stack

pytestmark = pytest.mark.slow
STATES = ((0x73, 0xBF, 0x69), (0xFA, 0xDE, 0x2A), (0xF2, 0x49, 0x5C))
"""What works is green, what waits yellow, what is down red."""


def near(pixel: tuple[int, ...], color: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 40 for a, b in zip(pixel, color, strict=True))


def test_a_dashboard_is_drawn_from_live_data(stack: Stack, tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip("chromium is not installed")
    until_s = time.time()
    page, picture = render(stack.prometheus.url, ["plant"], tmp_path, Span(until_s - 10, until_s, 0.5), {})
    titles = [str(panel["title"]) for board, panel in panels() if board == "plant"]
    dom = dom_of(page)
    assert re.findall(r"<h2>(.*?)</h2>", dom) == titles
    drawn = {title: int(n) for n, title in re.findall(r'data-series="(\d+)"[^>]*><h2>(.*?)</h2>', dom)}
    assert all(drawn[title] for title in titles if title != "What wants attention?")
    assert "line-1/press" in dom
    with Image.open(picture) as found:
        assert found.width == 1440
        colors = found.convert("RGB").getcolors(2**24) or []
    assert picture.stat().st_size < 200_000
    shown = [count for count, color in colors if isinstance(color, tuple) and any(near(color, each) for each in STATES)]
    assert sum(shown) > 5000
