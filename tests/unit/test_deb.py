"""The Debian package, installed by dpkg into a folder: user, unit and configuration; removing it keeps the data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gateway.loading import load
from release.deb import NAME, UNIT, build

ROOT = Path(__file__).parents[2]
NEEDED = ("dpkg", "dpkg-deb", "systemd-sysusers")
pytestmark = pytest.mark.skipif(
    any(shutil.which(each) is None for each in NEEDED) or os.geteuid() != 0, reason="needs dpkg, systemd and root"
)


def dpkg(system: Path, *arguments: str) -> str:
    forced = ("--force-script-chrootless", "--force-depends", "--force-not-root", "--force-confold")
    command = ["dpkg", f"--root={system}", f"--log={system}/dpkg.log", *forced, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A folder that dpkg takes for a system."""
    system = tmp_path / "system"
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"):
        (system / folder).mkdir(parents=True)
    for file in ("status", "available"):
        (system / "var/lib/dpkg" / file).touch()
    return system


def test_the_package_installs_a_user_a_unit_and_a_configuration_and_removing_it_keeps_the_data(
    system: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    for package in ("gateway", "simulators"):
        (program / package).mkdir(parents=True)
        (program / package / "__init__.py").touch()
        (program / package / "__main__.py").write_text(f"def main() -> None:\n    print('this is {package}')\n")
    package_file = build(ROOT, program, tmp_path, "1.2.3")
    dpkg(system, "--install", str(package_file))

    user = next(line for line in (system / "etc/passwd").read_text().splitlines() if line.startswith(NAME)).split(":")
    state, config = system / "var/lib/connected-factory", system / "etc/connected-factory/gateway.yaml"
    assert state.stat().st_uid == int(user[2])
    assert state.stat().st_mode & 0o777 == 0o750
    unit = (system / "usr/lib/systemd/system" / UNIT).read_text()
    assert "ExecStart=/usr/bin/gateway run /etc/connected-factory/gateway.yaml" in unit
    assert f"User={NAME}" in unit
    assert load(config).outbox.path == Path("/var/lib/connected-factory/outbox")
    launcher = (system / "usr/bin/gateway").read_text().replace("/usr/lib", f"{system}/usr/lib")
    told = subprocess.run([sys.executable, "-c", launcher], capture_output=True, text=True, check=True).stdout
    assert told == "this is gateway\n"

    (state / "outbox").mkdir()
    edited = yaml.safe_load(config.read_text()) | {"name": "mine"}
    config.write_text(yaml.safe_dump(edited))
    dpkg(system, "--install", str(build(ROOT, program, tmp_path, "1.2.4")))
    assert load(config).name == "mine"
    dpkg(system, "--remove", NAME)
    assert not (system / "usr/bin/gateway").exists()
    assert (state / "outbox").is_dir()
    assert load(config).name == "mine"
    dpkg(system, "--purge", NAME)
    assert (state / "outbox").is_dir()
    assert not config.exists()
