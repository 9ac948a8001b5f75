"""What a command prints comes out whole, whatever a single write takes."""

import io
import sys

import pytest

from gateway.cli.words import write_all_of_it


class Terminal(io.RawIOBase):
    """Takes ten bytes at a time."""

    def __init__(self) -> None:
        self.got = b""

    def writable(self) -> bool:
        return True

    def write(self, octets: bytes) -> int:  # type: ignore[override]  # buffers only
        self.got += bytes(octets[:10])
        return min(10, len(octets))


def test_a_partly_accepted_write_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    unbuffered = Terminal()
    stdout = io.TextIOWrapper(unbuffered, "utf-8", write_through=True)  # type: ignore[type-var]  # what python -u makes
    monkeypatch.setattr(sys, "stdout", stdout)
    write_all_of_it()
    print("x" * 1000)
    assert unbuffered.got == b"x" * 1000 + b"\n"
