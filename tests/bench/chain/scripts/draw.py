"""Draw what `plots.py` describes:  python draw.py DESCRIPTION.json FOLDER   (in the environment with matplotlib)"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OURS = ("#0b6e4f", "#2ca25f", "#66c2a4", "#99d8c9", "#b2e2c8", "#ccece6")
OTHERS = ("#4d4d4d", "#8c510a", "#bf812d", "#7f7f7f", "#a6611a", "#b3b3b3")


def bars(picture: dict[str, Any]) -> Any:
    groups, series = picture["groups"], picture["series"]
    places: dict[tuple[int, int], float] = {}
    titles, row = [], 0.0
    for group in range(len(groups)):
        there = [number for number, each in enumerate(series) if each["middle"][group]]
        places |= {(group, number): row + place for place, number in enumerate(there)}
        titles.append(row + (len(there) - 1) / 2)
        row += len(there) + 1
    figure, axes = plt.subplots(figsize=(10, 1.2 + 0.22 * row + 0.1 * len(series)), layout="constrained")
    colours = {True: iter(OURS), False: iter(OTHERS)}
    for number, each in enumerate(series):
        spreads = zip(each["middle"], each["least"], each["most"], strict=True)
        rows = [(places[group, number], *found) for group, found in enumerate(spreads) if found[0]]
        at, middles = [row[0] for row in rows], [row[1] for row in rows]
        spread = [[row[1] - row[2] for row in rows], [row[3] - row[1] for row in rows]]
        colour = next(colours[each["ours"]], "#cccccc")
        axes.barh(at, middles, 0.88, label=each["name"], color=colour, xerr=spread, ecolor="#222222")
        for y, middle, _, most in rows:
            axes.annotate(told(middle), (most, y), (4, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(titles, groups, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel(picture["unit"])
    axes.set_title(picture["title"], loc="left")
    figure.legend(fontsize=7, loc="outside lower center", ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def lines(picture: dict[str, Any]) -> Any:
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for each in picture["series"]:
        axes.plot(each["x"], each["y"], marker="o", label=each["name"])
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(picture["across"])
    axes.set_ylabel(picture["unit"])
    axes.set_title(picture["title"], loc="left")
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(description: Path, folder: Path) -> None:
    for name, picture in json.loads(description.read_text()).items():
        figure = {"bars": bars, "lines": lines}[picture["kind"]](picture)
        figure.savefig(folder / f"{name}.png", dpi=130)
        plt.close(figure)


main(Path(sys.argv[1]), Path(sys.argv[2]))
