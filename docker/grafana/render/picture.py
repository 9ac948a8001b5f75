"""Headless Chromium for pictures of pages, and small PNG files of them."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
COLORS = 256


def chromium() -> str | None:
    """The path of the browser, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def take(page: Path, picture: Path, width: int, height: int) -> Path:
    """A picture of a page of our own, in few colours."""
    _run(page, f"--window-size={width},{height}", f"--screenshot={picture}")
    shrink(picture)
    return picture


def dom_of(page: Path) -> str:
    """The page as the browser understood it."""
    return _run(page, "--dump-dom")


def shrink(picture: Path) -> None:
    """Reduce a picture to its most frequent colours, a third of the size.

    Other colours move to the nearest of them.
    """
    with Image.open(picture) as found:
        whole = found.convert("RGB")
    counted = sorted(whole.getcolors(whole.width * whole.height) or [], reverse=True)[:COLORS]
    kept = Image.new("P", (1, 1))
    kept.putpalette([part for _, color in counted if isinstance(color, tuple) for part in color])
    whole.quantize(palette=kept, dither=Image.Dither.NONE).save(picture, optimize=True)


def _run(page: Path, *options: str) -> str:
    program = chromium()
    assert program is not None, "chromium is not installed"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # it may still write
        done = subprocess.run(
            [program, *_QUIET, f"--user-data-dir={profile}", *options, page.resolve().as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    return done.stdout
