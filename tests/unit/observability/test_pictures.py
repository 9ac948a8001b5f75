"""The pictures the README shows are there, and small."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_picture_of_the_readme_is_there_and_small() -> None:
    named = re.findall(r"\((docker/pictures/[\w.]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(named) >= 7
    for name in named:
        assert (ROOT / name).stat().st_size < 200_000, name


def test_every_picture_is_shown() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docker" / "pictures").iterdir() if path.name not in text] == []
