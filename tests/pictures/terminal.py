"""What a command shows on a terminal, as SVG: it runs on a real pseudo terminal, and one frame is kept."""

import contextlib
import fcntl
import io
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

MOST_S = 90.0
"""So long a command may take."""
_FRAME = re.compile(r"(?:\r?\x1b\[2K|\x1b\[1A)+")
"""What moves the cursor back to the beginning of a picture that stays in place."""
_CONTROL = re.compile(r"\x1b\[\?\d+[hl]")
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def frame(command: list[str], width: int, lines: int, after: str = "", then_s: float = 0.0) -> str:
    """The last picture drawn `then_s` after the text `after` was first seen, then the command is ended; without such
    a text all of its output, once it has ended by itself."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, width, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(width), "LINES": str(lines)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    deadline, seen, is_due = time.monotonic() + MOST_S, bytearray(), False
    try:
        while time.monotonic() < deadline:
            seen += os.read(ours, 65536)
            if after and not is_due and after.encode() in seen:
                deadline, is_due = time.monotonic() + then_s, True
    except OSError:
        pass  # the command ended, and its side of the terminal with it
    finally:
        _end(process, ours)
    text = _CONTROL.sub("", seen.decode("utf-8", "replace")).replace("\r\n", "\n")
    pictures = _FRAME.split(text)
    return pictures[-2 if is_due and len(pictures) > 2 else -1]  # the last one may be cut


def _end(process: subprocess.Popen[bytes], ours: int) -> None:
    """SIGTERM, and go on reading meanwhile: who cannot write cannot end."""
    process.terminate()
    deadline = time.monotonic() + MOST_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if select.select([ours], [], [], 0.1)[0]:
                os.read(ours, 65536)
    process.kill()
    process.wait()
    os.close(ours)


def as_svg(text: str, title: str, width: int, target: Path) -> None:
    """A picture of the text with its colours, in fonts of the reader's own machine."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.strip("\n")))
    made = _FONTS.sub("", console.export_svg(title=title)).replace("Fira Code, monospace", "monospace")
    target.write_text(made, encoding="utf-8")
