"""`gateway outbox`: shows people what is stored on the disk."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.filesize import decimal

from gateway.cli.common import measuring, problems_told
from gateway.errors import EXIT_CANNOT_WRITE
from gateway.outbox import Record
from gateway.outbox import inspect as folders


def show(folder: Path) -> None:
    """Show how much is stored, for which brokers, in which files, and what was lost or damaged."""
    with problems_told(), measuring("reading") as progress:
        view = folders.show(folder, progress)
    typer.echo(
        f"epoch {view.epoch or 'unknown'}, "
        + ("the last run ended in order" if view.clean else "a gateway is using it, or was killed")
    )
    for reader in view.readers:
        typer.echo(f"for {reader.name}: {reader.messages} messages, {reader.values} values to deliver")
    for segment in view.segments:
        damage = f", {segment.damaged_bytes} bytes damaged" if segment.damaged_bytes else ""
        since = (
            f", {_instant(segment.first_appended_ns)} to {_instant(segment.last_appended_ns)}"
            if segment.messages
            else ""
        )
        kind = f"{segment.route} {segment.priority.name.lower()}".lstrip()
        typer.echo(
            f"{segment.name}: {kind}, {decimal(segment.bytes)}, {segment.messages} messages,"
            f" {segment.values} values{since}{damage}"
        )
    for loss in view.losses:
        typer.echo(f"lost, not announced yet: {loss.values} values of {loss.stream or 'some streams'} ({loss.cause})")
    for name in view.quarantined:
        typer.echo(f"copy of damaged data: {name}")


def peek(folder: Path, count: int, broker: str | None) -> None:
    """Print the oldest messages, one line of JSON each."""
    with problems_told():
        for record in folders.peek(folder, count, broker):
            typer.echo(_line(record))


def export(folder: Path, to: Path, broker: str | None) -> None:
    """Copy messages into a file. The outbox does not change, and a gateway may use it meanwhile."""
    count = 0
    try:
        with problems_told(), measuring("exporting") as progress, to.open("w", encoding="utf-8") as out:
            for record in folders.export(folder, broker, progress):
                out.write(_line(record) + "\n")
                count += 1
    except (KeyboardInterrupt, OSError) as error:
        why, code = (
            (f"cannot write {to}: {error.strerror}", EXIT_CANNOT_WRITE)
            if isinstance(error, OSError)
            else ("interrupted", 130)
        )
        part = f"; {to} holds only the first {count} messages" if count else ""
        typer.echo(f"gateway: {why}{part}", err=True)
        raise typer.Exit(code) from error
    typer.echo(f"{count} messages written to {to}")


def purge(folder: Path, yes: bool) -> None:
    """Remove all stored messages for good. No gateway may be using the outbox."""
    if not yes:
        typer.confirm(f"Remove all messages in {folder} for good?", abort=True)
    with problems_told(), measuring("counting") as progress:
        messages, values = folders.purge(folder, progress)
    typer.echo(f"removed {messages} messages with {values} values")


def _line(record: Record) -> str:
    """A message as JSON, with its payload as text if possible, otherwise as base64."""
    message = record.message
    body: dict[str, object] = {
        "number": record.number,
        "stored": _instant(record.appended_at_ns),
        "topic": message.topic,
        "stream": message.stream,
        "seq": message.seq,
        "values": message.values,
        "content_type": message.content_type,
    }
    try:
        body["payload"] = message.payload.decode("utf-8")
    except UnicodeDecodeError:
        body["payload_base64"] = base64.b64encode(message.payload).decode("ascii")
    return json.dumps(body, ensure_ascii=False)


def _instant(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).isoformat(timespec="milliseconds")
