"""Writing what a command makes: in pieces, to a file that is there whole or not at all, or to standard output."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.common import counting
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError


def write(pieces: Iterable[str] | Iterable[bytes], output: Path | None) -> None:
    """Write the pieces; progress on standard error, and a file that is there whole or not at all."""
    with counting("writing") as told, _opened(output) as write:
        done = 0
        for piece in pieces:
            data = piece.encode() if isinstance(piece, str) else piece
            write(data)
            done += len(data)
            told("bytes written", done)


@contextmanager
def _opened(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    if output is None:
        sys.stdout.flush()
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    fresh = output.with_name(f"{output.name}.new")
    try:
        with fresh.open("wb") as file:
            yield file.write
        fresh.replace(output)
    except OSError as error:
        raise ConfigError([f"{output}: cannot be written: {error.strerror}"], EXIT_CANNOT_WRITE) from error
    finally:
        fresh.unlink(missing_ok=True)
