"""What `make release` hands out, installed for real: the Debian package under systemd, the image, their parts.

`make package-test` builds a release and runs this in the container laboratory.  The package is installed by apt in a
machine without a network; its gateway reads its own simulator, and no broker is there, so values wait on the disk.
"""

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.compose import LAB, STAND_INS, Stack, laboratory, wheels
from tests.support.programs import ROOT, wait_until
from tests.support.systemd import RUN, UNIT, Machine

DIST = Path(os.environ.get("PACKAGE_TEST", "none"))
VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not DIST.is_dir() or os.geteuid() != 0 or not LAB.exists(), reason="make package-test, as root"),
]
STATE, ETC = "/var/lib/connected-factory", "/etc/connected-factory/gateway.yaml"
CONFIG: dict[str, object] = {
    "sources": [{
        "name": "line", "url": "opc.tcp://127.0.0.1:4840/", "insecure": True,
        "select": [{"subtree": "i=85", "levels": ["line", "machine"], "include": ["*/*/*"]}],
    }],
    "broker": {"url": "mqtt://127.0.0.1:1883"}, "payload": {"topic": "factory/{line}/{machine}"},
    "outbox": {"path": f"{STATE}/outbox"},
}  # fmt: skip
DOCKERFILE = """
FROM debian:bookworm-slim
RUN apt-get update -q && apt-get install -y -q --no-install-recommends python3 systemd procps \\
 && rm -rf /var/lib/apt/lists/*
COPY here.conf /etc/systemd/system/connected-factory-gateway.service.d/
COPY package.deb /
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
"""


@pytest.fixture(scope="module")
def lab() -> Stack:
    return laboratory()


@pytest.fixture
def host(lab: Stack, tmp_path: Path) -> Iterator[Machine]:
    """A Debian machine with the package as a file, and no network."""
    (package,) = DIST.glob("*.deb")
    shutil.copy(package, tmp_path / "package.deb")
    (tmp_path / "here.conf").write_text("[Service]\nPrivateUsers=no\n", encoding="utf-8")  # the engine may have none
    (tmp_path / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    image = lab.docker("build", "--network", "host", "-q", str(tmp_path), within_s=800).split()[-1]
    container = lab.docker(*RUN, image).strip()
    try:
        yield Machine(lab, container)
    finally:
        subprocess.run(["docker", "rm", "-f", container], env=lab.environment, capture_output=True, check=False)


@dataclass(frozen=True)
class Apt:
    """The package manager of a machine."""

    host: Machine

    def __call__(self, *words: str) -> str:
        command = f"DEBIAN_FRONTEND=noninteractive apt-get -y -q {' '.join(words)} 2>&1 || echo FAILED"
        # It compiles all libraries, which takes minutes on a busy machine.
        told = self.host.stack.docker("exec", self.host.container, "sh", "-c", command, within_s=900)
        assert "FAILED" not in told, told
        return told


def figure(host: Machine, name: str) -> float:
    """The sum of a series of the gateway that runs there; -1 while there is none."""
    asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
    lines = host.says(f'python3 -c "{asked}" 2>/dev/null').splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return sum(values) if values else -1.0


def test_apt_installs_a_gateway_that_keeps_its_values_when_it_is_removed(host: Machine) -> None:
    apt = Apt(host)
    wait_until(lambda: "running" in host.says("systemctl is-system-running --wait 2>&1; echo running"), "systemd", 60)
    told = apt("install", "/package.deb")
    assert "enable --now connected-factory-gateway" in told
    assert "connected-factory" in host.says("getent passwd connected-factory")
    assert host.says(f"stat -c '%U %a' {STATE}").split() == ["connected-factory", "750"]
    assert host.says(f"systemd-analyze verify {UNIT}.service 2>&1").strip() == ""
    assert host.says("dpkg-query -W -f '${Version}' connected-factory").strip() == VERSION
    assert "OPC UA" in host.says("gateway --help")
    assert "assembly" in host.says("simulators describe plant")

    host.says("systemd-run -u plant simulators serve reference-line --security None")
    host.configure(CONFIG)
    host.says(f"systemctl enable --now {UNIT}")
    wait_until(lambda: host.shown("ActiveState") == "active", "the gateway to be ready", 60)
    wait_until(lambda: figure(host, "gateway_outbox_values") > 20, "values to be on the disk", 240)
    assert host.says(f"ps -o user= -p {host.shown('MainPID')}").strip().startswith("connect")

    apt("remove", "connected-factory")
    assert host.says("ls /usr/bin/gateway 2>&1").count("No such file") == 1
    assert "outbox" in host.says(f"ls {STATE}")
    assert '"sources"' in host.says(f"cat {ETC}")
    assert host.says(f"systemctl is-active {UNIT} 2>&1").strip() in ("inactive", "failed")

    apt("install", "-o", "Dpkg::Options::=--force-confold", "/package.deb")
    host.says(f"systemctl enable --now {UNIT}")
    wait_until(lambda: figure(host, "gateway_values_recovered_total") > 20, "it to go on with what was kept", 240)

    apt("purge", "connected-factory")
    assert "No such file" in host.says(f"ls {ETC} 2>&1")
    assert "outbox" in host.says(f"ls {STATE}")  # nobody else has those values


def test_the_image_says_what_it_is_and_what_it_is_made_of(lab: Stack) -> None:
    words = ("--build-arg", f"PYTHON_IMAGE={STAND_INS['PYTHON_IMAGE']}", "--build-arg", f"VERSION={VERSION}")
    file = ("-f", str(ROOT / "docker" / "Dockerfile"), "--target", "gateway")
    with wheels():
        build = ("build", "--network", "host", "-q", *file, *words, "--build-arg", "REVISION=abc", str(ROOT))
        image = lab.docker(*build, within_s=800).split()[-1]
    labels = json.loads(lab.docker("inspect", image))[0]["Config"]["Labels"]
    told = {name.rpartition(".")[2]: text for name, text in labels.items() if "opencontainers" in name}
    assert (told["version"], told["revision"], told["licenses"]) == (VERSION, "abc", "MIT")
    assert told["title"]
    assert told["description"]
    run = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL")
    assert "OPC UA" in lab.docker(*run, image, "--help")
    extras = "import nats, confluent_kafka, gateway.telemetry.export"
    lab.docker(*run, "--entrypoint", "/venv/bin/python3", image, "-c", extras)
    licences = lab.docker(*run, "--entrypoint", "cat", image, "/venv/LICENCES.txt")
    made_of = {name.lower().replace("_", "-") for name in named_in_requirements()}
    assert {name for name in made_of if name not in licences.lower().replace("_", "-")} == set()


def named_in_requirements() -> list[str]:
    lines = (ROOT / "docker" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition("==")[0] for line in lines if "==" in line]


def test_the_bill_of_materials_is_valid_and_names_what_the_package_carries() -> None:
    (path,) = DIST.glob("*.cdx.json")
    text = path.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    named = {each["name"].lower().replace("_", "-") for each in json.loads(text)["components"]}
    assert {name for name in named_in_requirements() if name.lower().replace("_", "-") not in named} == set()
    (licences,) = DIST.glob("*-licenses.txt")
    assert len(licences.read_text(encoding="utf-8").splitlines()) >= len(named)
