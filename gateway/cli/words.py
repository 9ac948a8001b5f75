"""Options that several commands share, examples, and standard output: what names and help of commands need."""

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

PASSWORD = "MQTT_PASSWORD"
"""The environment variable of a broker's password, where a command takes one."""


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


LogOption = Annotated[LogFormat, typer.Option("--log-format", help="Form of the log: text or JSON.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Configuration file, such as config/gateway.yaml.")]
UrlOption = Annotated[str, typer.Option("--url", help="The gateway's HTTP address: `http` of its configuration.")]
TokenOption = Annotated[Path | None, typer.Option(help="File with the token, where looking needs one.")]
OutOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="File to write (default: standard output).")
]
USUAL_URL = "http://127.0.0.1:9464"


def examples(*lines: str) -> str:
    """The examples below the options of a command."""
    return "\n".join(("Examples:", "", "```text", *lines, "```"))


def write_all_of_it() -> None:
    """Give standard output the buffer back that PYTHONUNBUFFERED removes.

    Without a buffer, Python loses the rest of a write that is only partly accepted.  A terminal accepts only part of it
    when interrupted, for example by uvloop's io_uring, which closes while the first lines are written.
    """
    raw = sys.stdout.buffer
    if isinstance(raw, io.RawIOBase):
        form = (sys.stdout.encoding, sys.stdout.errors)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), *form, line_buffering=True)
