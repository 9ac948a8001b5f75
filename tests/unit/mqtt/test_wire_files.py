"""What a session reads before it speaks, and how a web socket asks: no FIFO blocks it, and its query is sent."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.config import BrokerConfig, TlsConfig
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.mqtt import certificate_expires_s, open_sink
from gateway.tls import context, problems_with


@pytest.mark.parametrize("key", ["ca", "crl", "certificate"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
@pytest.mark.timeout(20)
def test_a_file_that_is_not_a_regular_one_is_refused_and_not_read(key: str, kind: str, tmp_path: Path) -> None:
    path = {"fifo": tmp_path / "fifo", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "fifo":
        os.mkfifo(path)
    config = TlsConfig.model_validate({key: path})
    assert [(place, "is not a file" in text) for place, text in problems_with(config)] == [((key,), True)]
    with pytest.raises(ConfigError):
        context(config)
    broker = BrokerConfig.model_validate({"url": "mqtts://127.0.0.1:8883", "tls": {key: path}})
    assert certificate_expires_s(broker) != certificate_expires_s(broker), "the scrape is answered: not known"


def test_the_query_of_a_web_socket_is_on_the_wire_and_in_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "access=S3cret%2B")
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def body() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/mqtt"
            config = BrokerConfig.model_validate({"url": url, "query": {"env": "TOKEN"}, "version": "5"})
            with pytest.raises(Unavailable) as failure:
                async with open_sink(config, Link("b", url), "g"):
                    pass
        assert "S3cret" not in str(failure.value)

    asyncio.run(asyncio.wait_for(body(), 60))
    assert asked[0].startswith(b"GET /mqtt?access=S3cret%2B HTTP/1.1\r\n")
