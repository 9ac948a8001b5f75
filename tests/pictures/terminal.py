"""What a command shows on a terminal, as SVG: it runs on a real pseudo terminal, and one frame is kept."""

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

_FRAME = re.compile(r"(?:\r?\x1b\[2K|\x1b\[1A)+")
"""What moves the cursor back to the beginning of a picture that stays in place."""
_CONTROL = re.compile(r"\x1b\[\?\d+[hl]")
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def frame(command: list[str], width: int, lines: int, at_s: float | None = None) -> str:
    """The last picture that was drawn `at_s` after the start, then the command is ended; None: all of its output."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, width, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(width), "LINES": str(lines)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    deadline = time.monotonic() + (60 if at_s is None else at_s)
    seen = bytearray()
    try:
        while time.monotonic() < deadline:
            seen += os.read(ours, 65536)
    except OSError:
        pass  # the command ended, and its side of the terminal with it
    finally:
        process.terminate()
        process.wait(20)
        os.close(ours)
    text = _CONTROL.sub("", seen.decode("utf-8", "replace")).replace("\r\n", "\n")
    pictures = _FRAME.split(text)
    return pictures[-2 if at_s is not None and len(pictures) > 2 else -1]  # the last one may be cut


def as_svg(text: str, title: str, width: int, target: Path) -> None:
    """A picture of the text with its colours, in fonts of the reader's own machine."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.strip("\n")))
    made = _FONTS.sub("", console.export_svg(title=title)).replace("Fira Code, monospace", "monospace")
    target.write_text(made, encoding="utf-8")
