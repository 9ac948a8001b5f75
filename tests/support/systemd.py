"""The unit file under a real systemd, in a container beside the stack.

The gateway's libraries come from its image.  Two things differ from a machine: PrivateUsers is off, because the engine
may have no user namespaces to give, and the watchdog is short, so that a test can wait for it.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.compose import STAND_INS, Stack
from tests.support.programs import ROOT

UNIT = "connected-factory-gateway"
CONFIG: dict[str, object] = {
    "sources": [{"name": "a", "url": "opc.tcp://127.0.0.1:4840", "insecure": True, "select": [{"node": "i=2258"}]}],
    "broker": {"url": "mqtt://127.0.0.1:1883"},
    "payload": {"topic": "factory/{source}"},
    "outbox": {"path": "/var/lib/connected-factory/outbox"},
}
_DOCKERFILE = f"""
FROM connected-factory/gateway AS gateway
FROM {STAND_INS["PYTHON_IMAGE"]}
RUN apt-get update -q && apt-get install -y -q --no-install-recommends systemd procps && rm -rf /var/lib/apt/lists/*
COPY --from=gateway /venv /opt/connected-factory
RUN ln -s /opt/connected-factory /venv && mkdir /etc/connected-factory
COPY here.conf /etc/systemd/system/{UNIT}.service.d/
COPY {UNIT}.service /etc/systemd/system/
RUN systemctl enable {UNIT}
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
"""
RUN = (
    "run", "-d", "--network", "none", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
    "--cgroupns=private", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """A container in which systemd runs."""

    stack: Stack
    container: str

    def says(self, script: str) -> str:
        return self.stack.docker("exec", self.container, "sh", "-c", f"{script}\ntrue")

    def shown(self, name: str) -> str:
        """One property of the unit."""
        return self.says(f"systemctl show -p {name} --value {UNIT}").strip()

    def configure(self, config: dict[str, object]) -> None:
        text = json.dumps(config)
        self.says(f"cat > /etc/connected-factory/gateway.yaml <<'END'\n{text}\nEND")


@contextmanager
def machine(stack: Stack, folder: Path) -> Iterator[Machine]:
    """systemd is up; the unit was started at boot, without a configuration."""
    unit = (ROOT / "docker" / "systemd" / f"{UNIT}.service").read_text(encoding="utf-8")
    (folder / f"{UNIT}.service").write_text(unit, encoding="utf-8")
    (folder / "here.conf").write_text("[Service]\nPrivateUsers=no\nWatchdogSec=2\n", encoding="utf-8")
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    image = stack.docker("build", "--network", "host", "-q", str(folder), within_s=300).split()[-1]
    container = stack.docker(*RUN, image).strip()
    try:
        yield Machine(stack, container)
    finally:
        subprocess.run(["docker", "rm", "-f", container], env=stack.environment, capture_output=True, check=False)
