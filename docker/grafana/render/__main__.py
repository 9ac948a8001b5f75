"""Draws the dashboards from a live Prometheus, without Grafana: pages of HTML with SVG, and pictures of them.

    python -m docker.grafana.render --prometheus http://127.0.0.1:9090 --out /tmp/pictures [--minutes 15] [--light]
        [--width 1440] [--var machine=line-1/press-1] [plant machine …]

Headless Chromium takes the pictures; without it there are only pages.  For people and for the README: this draws what
the JSON says in the style of Grafana, but it is not Grafana.
"""

import argparse
import time
from pathlib import Path

from docker.grafana.render.board import Span, read
from docker.grafana.render.look import DARK, LIGHT
from docker.grafana.render.page import height_of, page
from docker.grafana.render.picture import chromium, take

BOARDS = Path(__file__).parents[1] / "dashboards"


def render(
    url: str, names: list[str], out: Path, span: Span, chosen: dict[str, str], width: int = 1440, light: bool = False
) -> list[Path]:
    """Write `NAME.html`, and `NAME.png` if chromium is installed, for each dashboard.  Returns the files."""
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for name in names:
        board = read(BOARDS / f"{name}.json")
        target = out / f"{name}.html"
        target.write_text(page(board, url, span, chosen, width, LIGHT if light else DARK), encoding="utf-8")
        made.append(target)
        if chromium() is not None:
            made.append(take(target, out / f"{name}.png", width, height_of(board)))
    return made


def main() -> None:
    asked = argparse.ArgumentParser(prog="docker.grafana.render", description="Draw the dashboards from live data.")
    asked.add_argument("--prometheus", default="http://127.0.0.1:9090")
    asked.add_argument("--out", type=Path, default=Path("var/pictures"))
    asked.add_argument("--minutes", type=float, default=15)
    asked.add_argument("--scrape", type=float, default=5, help="seconds between two scrapes")
    asked.add_argument("--width", type=int, default=1440)
    asked.add_argument("--light", action="store_true")
    asked.add_argument("--var", action="append", default=[], metavar="NAME=PATTERN")
    asked.add_argument("boards", nargs="*", default=sorted(path.stem for path in BOARDS.glob("*.json")))
    told = asked.parse_args()
    until_s = time.time()
    span = Span(until_s - 60 * told.minutes, until_s, told.scrape)
    chosen = dict(each.partition("=")[::2] for each in told.var)
    for path in render(told.prometheus, told.boards, told.out, span, chosen, told.width, told.light):
        print(path)
    if chromium() is None:
        print("Chromium is not installed, so there are pages but no pictures.")


if __name__ == "__main__":
    main()
