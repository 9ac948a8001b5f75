"""What a person does next: one table, which the daemon's log and the commands read."""

import asyncio
import ssl
import struct
from contextlib import suppress

import pytest
import typer
from asyncua import ua
from structlog.testing import capture_logs

from gateway.advice import SAID, advice_for
from gateway.cli.common import problems_told
from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.mqtt.dial import parse
from gateway.opcua.session.connect import open_session
from gateway.tcp import explain

SERVER = [
    (ua.StatusCodes.BadSecurityChecksFailed, "gateway cert export"),
    (ua.StatusCodes.BadCertificateUntrusted, "gateway cert export"),
    (ua.StatusCodes.BadCertificateTimeInvalid, "compare the clocks"),
    (ua.StatusCodes.BadCertificateUriInvalid, "gateway cert renew"),
    (ua.StatusCodes.BadInvalidTimestamp, "compare the clocks"),
    (ua.StatusCodes.BadTooManySessions, "no free session"),
    (ua.StatusCodes.BadTcpServerTooBusy, "no free connection"),
    (ua.StatusCodes.BadTcpEndpointUrlInvalid, "`url`"),
    (ua.StatusCodes.BadUserAccessDenied, "name or the password wrong"),
    (ua.StatusCodes.BadIdentityTokenRejected, "name or the password wrong"),
    (ua.StatusCodes.BadCertificateChainIncomplete, "issuer of our certificate"),
]


async def refused_with(answer: bytes) -> Unavailable:
    """What a connection to a server ends with that answers so when the channel is to be opened."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            for said in (b"ACKF" + struct.pack("<IIIIII", 28, 0, 65_536, 65_536, 0, 0), answer):
                head = await reader.readexactly(8)
                await reader.readexactly(struct.unpack("<I", head[4:])[0] - 8)
                writer.write(said)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = SourceConfig.model_validate({"name": "s", "url": url, "insecure": True, "select": [{"node": "i=1"}]})
        with pytest.raises(Unavailable) as caught:
            async with open_session(config, Metrics().for_source("s")):
                pass
    return caught.value


def told(error: Unavailable, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """In the daemon's log, and by a command."""
    with capture_logs() as logs:
        Link("s", "opc.tcp://x").down(str(error), error.cause)
    with pytest.raises(typer.Exit), problems_told():
        raise error
    return str(logs[0].get("advice", "")), capsys.readouterr().err


@pytest.mark.parametrize(("code", "words"), SERVER)
def test_a_servers_error_is_reported_with_advice(code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = asyncio.run(refused_with(b"ERRF" + struct.pack("<III", 18, code, 2) + b"no"))
    name = ua.status_codes.code_to_name_doc[code][0]
    assert str(error).startswith("cannot open a secure channel")
    assert name in str(error)
    log, command = told(error, capsys)
    assert words in log
    assert f"{error}: {log}" in command


@pytest.mark.parametrize(
    ("answer", "words"), [(b"", "gateway cert export"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is the port right?")]
)
def test_a_silent_or_malformed_answer_is_reported_with_its_likely_cause(
    answer: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log, command = told(asyncio.run(refused_with(answer)), capsys)
    assert words in log
    assert words in command


def tls(code: int, text: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, text)
    error.verify_code, error.verify_message = code, text
    return error


BROKER = [
    (tls(18, "self-signed certificate"), "tls.ca"),
    (tls(19, "self-signed certificate in certificate chain"), "tls.ca"),
    (tls(20, "unable to get local issuer certificate"), "tls.ca"),
    (tls(21, "unable to verify the first certificate"), "the broker must send it"),
    (tls(62, "hostname mismatch"), "tls.server_name"),
    (tls(10, "certificate has expired"), "clock of this machine"),
    (tls(9, "certificate is not yet valid"), "clock of this machine"),
    (tls(12, "CRL has expired"), "tls.crl"),
]


@pytest.mark.parametrize(("error", "words"), BROKER, ids=lambda each: str(each)[:20])
def test_a_tls_error_is_reported_with_advice(error: ssl.SSLCertVerificationError, words: str) -> None:
    text = explain(error, parse("mqtts://broker"))
    assert words in advice_for(text, "tls")


@pytest.mark.parametrize(
    ("cause", "words"), [("refused", "port"), ("name", "host name right"), ("timeout", "firewall")]
)
def test_an_error_without_text_gets_advice_from_its_cause_and_a_hint_is_enough(cause: str, words: str) -> None:
    assert words in advice_for("it is away", cause)
    assert advice_for("it is away: is it?", cause) == ""


def test_every_line_of_the_table_can_be_reached() -> None:
    assert [words for words, advice in SAID if advice_for(words) != advice] == []


def test_a_new_reason_is_logged_once_while_a_peer_is_away() -> None:
    link = Link("s", "opc.tcp://x")
    with capture_logs() as logs:
        for reason in ("refused", "BadTooManySessions", "refused", "BadTooManySessions", "BadSecurityChecksFailed"):
            link.down(reason, "answer")
    assert [each["reason"] for each in logs if each["event"] == "not connected"] == [
        "refused", "BadTooManySessions", "BadSecurityChecksFailed",
    ]  # fmt: skip
