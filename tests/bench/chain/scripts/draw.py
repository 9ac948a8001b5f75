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
    figure, axes = plt.subplots(figsize=(9, 0.7 + 0.3 * len(series) * len(groups)), layout="constrained")
    height = 0.8 / len(series)
    colours = {True: iter(OURS), False: iter(OTHERS)}
    for place, each in enumerate(series):
        rows = [
            (group + place * height, middle, least, most)
            for group, (middle, least, most) in enumerate(zip(each["middle"], each["least"], each["most"], strict=True))
            if middle
        ]
        at, middles = [row[0] for row in rows], [row[1] for row in rows]
        spread = [[row[1] - row[2] for row in rows], [row[3] - row[1] for row in rows]]
        colour = next(colours[each["ours"]], "#cccccc")
        axes.barh(at, middles, height * 0.92, label=each["name"], color=colour, xerr=spread, ecolor="#222222")
        for y, middle, _, most in rows:
            axes.annotate(told(middle), (most, y), (4, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks([group + 0.4 - height / 2 for group in range(len(groups))], groups)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel(picture["unit"])
    axes.set_title(picture["title"], loc="left")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
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
