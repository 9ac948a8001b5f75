"""Compressed payloads are what the programs of their makers read: gzip and zstd."""

import subprocess
from typing import Literal

import pytest

from gateway.model import Message
from gateway.payload.compressed import compressor
from gateway.payload.json import JsonEncoder
from gateway.payload.splitting import FormatSettings
from tests.support.brokers import program_of
from tests.support.payloads import batch_of


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [0, 1, 500])
def test_the_reference_program_reads_compressed_messages(coding: Literal["gzip", "zstd"], size: int) -> None:
    plain: Message = JsonEncoder(FormatSettings("e", "f", "edge")).encode(
        batch_of([(11, 1.5)] * max(1, size)), lambda stream: 1
    )[0]
    payload = plain.payload if size else b""
    packed = compressor(coding)(Message("t", payload, "s", 1, 1)).payload
    read = subprocess.run([program_of(coding), "-dc"], input=packed, capture_output=True, check=True, timeout=60)
    assert read.stdout == payload
