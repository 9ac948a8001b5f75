"""Each finding of the doctor, made by a real condition, with its cure; and what plan says of statuses."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.cli.doctor_looks import Finding, _clock, _end, findings
from gateway.cli.plan_sums import statuses_told
from gateway.model import Tag
from gateway.opcua.codec.read_values import ReadValue
from gateway.opcua.explore import Plan, PlannedTag
from gateway.opcua.session.certificates import identity_or_none, make_identity, thumbprint
from tests.support.ports import free_port

DAY_S = 86_400.0
FILE = """
name: edge-1
sources:
  - {{name: nameless, url: "opc.tcp://no-such-host.invalid:4840", insecure: true, select: [{{node: i=2258}}]}}
  - {{name: closed, url: "opc.tcp://127.0.0.1:{closed}", insecure: true, select: [{{node: i=2258}}]}}
broker: {{url: "mqtt://127.0.0.1:{closed}", username: eve, password: {{file: secret}}}}
outbox: {{path: outbox, min_free: {min_free}}}
http: {{port: {port}}}
payload: {{topic: "x/{{source}}"}}
"""


@contextmanager
def another_program() -> Iterator[int]:
    """It has a port, and says what no gateway says."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.listen()
        yield server.getsockname()[1]


def found_in(folder: Path, port: int, min_free: str = "1MiB") -> list[Finding]:
    file = folder / "gateway.yaml"
    file.write_text(FILE.format(closed=free_port(), port=port, min_free=min_free))
    return asyncio.run(asyncio.wait_for(findings(file), 60))


def test_every_trouble_is_found_and_has_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.cli.doctor_looks.PATIENCE_S", 0.5)
    (tmp_path / "secret").write_text("s3cret")
    (tmp_path / "secret").chmod(0o644)
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "meta").write_bytes(b"nonsense")
    with another_program() as port:
        found = found_in(tmp_path, port, "100000GiB")
    told = {(each.what, each.state): f"{each.said}: {each.cure}" for each in found}
    assert "connected-factory" in told["versions", "ok"]
    assert "chmod 600" in told["files", "wrong"]
    assert "make room: below outbox.min_free" in told["disk", "wrong"]
    assert "another program has it: stop it, or set http.port" in told[f"port {port}", "wrong"]
    assert "the name no-such-host.invalid cannot be looked up" in told["nameless", "wrong"]
    assert "refuses the connection" in told["closed", "wrong"]
    assert "refuses the connection" in told["broker", "wrong"]
    assert all(each.cure for each in found if each.state == "wrong" and each.what != "nameless")


@pytest.mark.parametrize(
    ("off_s", "state", "cure"), [(0.0, "ok", ""), (90.0, "look", "timedatectl"), (-90.0, "look", "timedatectl")]
)
def test_a_clock_that_is_off_is_found(off_s: float, state: str, cure: str) -> None:
    [found] = _clock("press", time.time() + off_s)
    assert (found.state, cure in found.cure, bool(found.cure)) == (state, True, bool(cure))


@pytest.mark.parametrize(
    ("left_s", "state", "said"),
    [(-DAY_S, "wrong", "ended on"), (7.7 * DAY_S, "look", "in 8 days"), (90 * DAY_S, "ok", "ends on")],
)
def test_the_end_of_a_certificate_is_told_in_time(left_s: float, state: str, said: str) -> None:
    found = _end("press", "our certificate", time.time() + left_s, "renew it")
    assert (found.state, said in found.said, found.cure) == (state, True, "" if state == "ok" else "renew it")


def test_plan_counts_what_cannot_be_read_by_its_status() -> None:
    statuses = [0x801F_0000, 0x801F_0000, 0x4000_0000, 0]
    tags = tuple(
        PlannedTag(Tag(f"T{n}", f"i={n}"), None, None, 1.0, ReadValue(0, None, status))  # type: ignore[arg-type]
        for n, status in enumerate(statuses)
    )
    told = list(statuses_told(Plan((), tags, ())))
    assert told[0].startswith("2 are not readable: BadUserAccessDenied")
    assert told[0].endswith("such as T0")
    assert told[1].startswith("1 is uncertain: Uncertain")


def test_a_rejected_certificate_is_refused_in_the_folder_of_the_environment(tmp_path: Path) -> None:
    make_identity(tmp_path / "theirs", datetime.now(UTC))
    theirs = identity_or_none(tmp_path / "theirs")
    assert theirs is not None
    own, print_ = tmp_path / "own", thumbprint(theirs.certificate)
    (own / "rejected").mkdir(parents=True)
    (own / "rejected" / f"{print_}.der").write_bytes(theirs.certificate_path.read_bytes())

    def said(*words: str) -> str:
        done = CliRunner().invoke(cli, ["cert", *words], env={"GATEWAY_PKI": str(own)})
        assert done.exit_code == 0, done.output
        return done.output

    assert said("list").startswith("rejected")
    assert said("reject", print_).startswith("refused: ")
    assert "rejected" not in said("list").split()
    assert said("trust", print_).startswith("trusted: ")
    assert said("list").startswith("trusted")
