"""The first hour: from nothing to values, at a server that does not know us and a broker with TLS and login.

A person answers at a terminal of 24 x 80, with no more than a person knows and sees.
"""

import json
import re
import select
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from gateway.loading import load
from gateway.opcua.session.trust import TrustStore
from tests.support.brokers import program_of
from tests.support.mqtt_certificates import SecureBroker, secure_mosquitto
from tests.support.node import PEERS, node_for
from tests.support.ports import free_port
from tests.support.programs import ROOT, ran, wait_until
from tests.support.terminals import DOWN, ENTER, SPACE, terminal, terminal_of_fork

WAITS = """
name: edge-NUMBER
sources: [{name: a, url: 'opc.tcp://PEER', insecure: true, select: [{node: i=2258}]}]
broker: {url: 'mqtt://PEER', profile: mosquitto, username: eve, password: {file: old}}
group: {name: hall, member: a, servers: ['nats://PEER'], monitoring: 0}
outbox: {path: outbox-NUMBER}
payload: {topic: x}
http: {port: 0}
"""
USER, PASSWORD = "edge", "s3cret word"


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A node-opcua server that trusts nobody yet; its address and its folder of certificates."""
    pki, port = tmp_path_factory.mktemp("server"), free_port()
    options = json.dumps({"secure": True, "strict": True})
    command = [node_for("node-opcua"), str(PEERS / "opcua_server.js"), str(port), "2", str(pki), options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith(b"ready"):
            assert line, "the server ended"
        yield f"opc.tcp://127.0.0.1:{port}", pki
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    folder = tmp_path_factory.mktemp("broker")
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run([program_of("mosquitto_passwd"), "-b", str(passwords), USER, PASSWORD], check=True)
    with secure_mosquitto(folder, f"password_file {passwords}", "allow_anonymous false") as secure:
        yield secure


def trust_everybody_rejected(pki: Path) -> None:
    """What an administrator does on the server's pages."""
    wait_until(lambda: bool(list((pki / "rejected").iterdir())), "the server to list a rejected client")
    for each in (pki / "rejected").iterdir():
        shutil.move(each, pki / "trusted" / "certs" / each.name)


def test_from_nothing_to_values(strict_server: tuple[str, Path], broker: SecureBroker, tmp_path: Path) -> None:
    url, pki = strict_server
    with terminal("init", url, cwd=tmp_path) as person:
        person.wait_for("thumbprint")
        person.wait_for("Trust it?")
        person.type("y")
        person.wait_for("It does not trust our certificate yet:")
        trust_everybody_rejected(pki)
        person.wait_for("8 variables in 3 objects")
        person.wait_for("What shall be read?")
        person.type(DOWN + ENTER)  # some objects
        person.wait_for("Which objects?")
        person.type("press-2" + SPACE + ENTER)
        person.wait_for("Address of the broker:")
        person.type("\x15" + str(broker.sink["url"]) + ENTER)  # Ctrl-U clears the proposal
        person.wait_for("its authority")
        person.type(str(broker.authority.path) + ENTER)
        person.wait_for("User name")
        person.type(USER + ENTER)
        person.wait_for("Password:")
        person.type("wrong" + ENTER)
        person.wait_for("refuses the session")
        person.wait_for("Address of the broker:")
        person.type(ENTER)
        person.wait_for("its authority")
        person.type(ENTER)
        person.wait_for("User name")
        person.type(ENTER)
        person.wait_for("Password:")
        person.type(PASSWORD + ENTER)
        person.wait_for("logged in at mqtts://")
        person.wait_for("On which topics?")
        person.type(ENTER)
        person.wait_for("published a message without values on factory/")
        person.wait_for("wrote my-gateway.yaml")
        assert person.ended() == 0
        assert PASSWORD not in person.text
    config = tmp_path / "my-gateway.yaml"
    assert "# " in config.read_text()
    assert PASSWORD not in config.read_text()
    assert load(config).sources[0].select[0].fields == {"path": "line-1/press-2"}
    http_port = free_port()  # the usual one may be that of another test
    config.write_text(config.read_text().replace("port: 9464", f"port: {http_port}"))
    with terminal("plan", str(config), "--publish", cwd=tmp_path, columns=200) as plan:
        plan.wait_for("4 variables, 0 problems")
        plan.wait_for("logged in at mqtts://")
        plan.wait_for("takes a message on factory/")
        assert plan.ended() == 0
    with terminal("doctor", str(config), cwd=tmp_path) as doctor:
        doctor.wait_for("nothing is wrong")
        assert doctor.ended() == 0
    topic = ("factory/#", "--lines", "--username", USER, "--ca", str(broker.authority.path))
    with terminal("watch", str(broker.sink["url"]), *topic, cwd=tmp_path, columns=200) as view:
        view.wait_for(f"Password of {USER}:")
        view.type(PASSWORD + ENTER)
        view.wait_for("connected")
        with terminal("run", str(config), cwd=tmp_path) as gateway:
            view.wait_for("/line-1/press-2")
            with terminal("top", f"http://127.0.0.1:{http_port}", cwd=tmp_path) as screen:
                screen.wait_for("4/4")  # good tags of the server
                screen.type("\x03")
                assert screen.ended() == 130
                assert "Traceback" not in screen.text
            gateway.type("\x03")  # Ctrl-C
            assert gateway.ended() == 0
            assert "Traceback" not in gateway.text
        assert PASSWORD not in view.text


def test_every_question_has_an_option(strict_server: tuple[str, Path], broker: SecureBroker, tmp_path: Path) -> None:
    """Without a terminal: what is missing is named, and with all of it nobody is asked."""
    url, pki = strict_server
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    given = ["gateway", "init", url, "--object", "line-1", "--broker", str(broker.sink["url"])]
    given += [
        "--broker-ca",
        str(broker.authority.path),
        "--broker-username",
        USER,
        "--broker-password-file",
        "password",
    ]

    def done(*more: str) -> "subprocess.CompletedProcess[str]":
        return ran(*given, *more, cwd=tmp_path)

    first = done()
    assert first.returncode == 2
    assert "--trust THUMBPRINT is missing" in first.stderr
    thumbprint = re.findall(r"thumbprint   ([0-9a-f]{40})", first.stdout)[0]
    second = done("--trust", thumbprint)
    assert second.returncode == 69
    assert "gateway cert" in second.stderr
    trust_everybody_rejected(pki)
    third = done("--topic", "plant/{path}/{tag}", "--type", "BaseObjectType")
    assert third.returncode == 0, third.stderr
    assert '"name":"Counter"' in third.stdout
    assert load(tmp_path / "my-gateway.yaml").payload.topic == "plant/{path}/{tag}"
    a_new_password(broker, tmp_path)


def a_new_password(broker: SecureBroker, folder: Path) -> None:
    """What the broker refuses is not kept; what it takes is, for whoever logs in next."""

    def asked(password: str) -> "subprocess.CompletedProcess[str]":
        (folder / "new").write_text(f"{password}\n")
        return ran("gateway", "password", "my-gateway.yaml", "--new-file", "new", cwd=folder)

    kept = folder / "password"
    refused = asked("another word")
    assert (refused.returncode, "refuses the session" in refused.stderr) == (69, True)
    assert kept.read_text() == PASSWORD
    kept.write_text("an old word")
    taken = asked(PASSWORD)
    assert taken.stdout.startswith(f"logged in at {broker.sink['url']}; password has the new password"), taken.stderr
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (PASSWORD, 0o600)


def test_the_secured_example_runs(strict_server: tuple[str, Path], broker: SecureBroker, tmp_path: Path) -> None:
    """With the addresses and secrets of this machine; who trusts whom is settled as in the runbook."""
    url, pki = strict_server
    text = (ROOT / "config" / "gateway-secure.yaml").read_text(encoding="utf-8")
    text = text.replace("192.0.2.10:4840", url.rpartition("/")[2])
    text = text.replace("broker.example:8883", f"127.0.0.1:{broker.process.port}")
    (tmp_path / "gateway.yaml").write_text(f"{text}\nhttp: {{port: 0}}\n", encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    for name, secret in (("opcua", "s3cret"), ("broker", PASSWORD), ("ca.crt", broker.authority.path.read_text())):
        (tmp_path / "secrets" / name).write_text(secret)
        (tmp_path / "secrets" / name).chmod(0o600)
    with terminal("run", "gateway.yaml", cwd=tmp_path, columns=200) as gateway:
        gateway.wait_for("to trust it: gateway cert trust ")
        gateway.wait_for("\n")
        [refused] = (tmp_path / "var" / "pki" / "rejected").iterdir()
        TrustStore(tmp_path / "var" / "pki").trust(str(refused))
        gateway.wait_for("the server does not trust our certificate")  # it has listed us by now
        trust_everybody_rejected(pki)
        gateway.wait_for("subscribed")
        gateway.type("\x03")
        assert gateway.ended() == 0


WAITING = (
    ("top", "http://PEER"), ("tap", "http://PEER"), ("tags", "--url", "http://PEER"), ("init", "opc.tcp://PEER"),
    ("losses", "--url", "http://PEER"), ("watch", "mqtt://PEER"), ("fleet", "mqtt://PEER"), ("run", "FILE"),
    ("fleet", "mqtt://PEER", "--follow"), ("command", "edge-1", "shop", "read", "A", "--broker", "mqtt://PEER"),
    ("browse", "opc.tcp://PEER", "--insecure"), ("plan", "FILE"), ("plan", "FILE", "--publish"), ("doctor", "FILE"),
    ("password", "PLAIN", "--new-file", "new"), ("model", "read", "FILE"), ("model", "export", "aas", "FILE"),
    ("profile", "check", "FILE", "--plan"), ("group", "status", "FILE"), ("group", "drain", "FILE", "a"),
    ("group", "move", "FILE", "a", "a"), ("group", "check", "FILE"),
)  # fmt: skip
"""Commands that wait for a peer.  `demo`, `serve` and what reads a pipe are interrupted in tests of their own."""
BUSY = {("gateway", "emulate", "aws-iot-core", "--port", "0"): "mqtt", ("simulators", "trace", "plant"): "line-1"}
"""Commands that go on until they are interrupted, with what they say when they have begun."""


def test_ctrl_c_ends_every_waiting_command_without_a_traceback(tmp_path: Path) -> None:
    """At a server, a broker, a cluster of NATS or a gateway that never answers."""
    for name in ("old", "new"):
        (tmp_path / name).write_text("s3cret")
        (tmp_path / name).chmod(0o600)
    with ExitStack() as stack:
        people = []
        for number, words in enumerate(WAITING):
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            peer, file = f"127.0.0.1:{silent.getsockname()[1]}", tmp_path / f"{number}.yaml"
            text = WAITS.replace("PEER", peer).replace("NUMBER", str(number))
            file.write_text(text if "PLAIN" not in words else text.replace("profile: mosquitto, ", ""))
            line = [str(file) if word in ("FILE", "PLAIN") else word.replace("PEER", peer) for word in words]
            people.append((words, stack.enter_context(terminal_of_fork("gateway", *line, cwd=tmp_path)), silent))
        others = [stack.enter_context(terminal(*words, module=name, cwd=tmp_path)) for name, *words in BUSY]
        for words, person, silent in people:
            assert select.select([silent], [], [], 120)[0], (words, person.read())
            stack.enter_context(closing(silent.accept()[0]))
            person.type("\x03")
        for person, says in zip(others, BUSY.values(), strict=True):
            person.wait_for(says)
            person.type("\x03")
        for words, person in [(words, person) for words, person, _ in people] + list(zip(BUSY, others, strict=True)):
            usual = (0, 130, 69, 1 if "--follow" in words else 0)  # 69: it has just given up; 1: something is wrong
            assert person.ended() in usual, (words, person.text)
            assert "Traceback" not in person.text, words


def test_ctrl_c_at_a_question_ends_without_a_traceback(strict_server: tuple[str, Path], tmp_path: Path) -> None:
    with terminal("init", strict_server[0], cwd=tmp_path) as person:
        person.wait_for("Trust it?")
        person.type("\x03")
        assert person.ended() == 130
        assert "Traceback" not in person.text
    assert not (tmp_path / "my-gateway.yaml").exists()
