"""A package for Debian and Ubuntu: the program, its unit, its user, and a configuration that stays the user's.

    /usr/lib/connected-factory      the program and its libraries, for the system's Python
    /usr/bin/gateway, simulators
    /usr/lib/systemd/system/connected-factory-gateway.service
    /usr/lib/sysusers.d/connected-factory.conf          the user
    /etc/connected-factory/gateway.yaml                 a conffile: updates ask before they change it
    /var/lib/connected-factory                          state; `apt remove` keeps it, and `apt purge` as well

It is built by `dpkg-deb` alone.  The scripts honour DPKG_ROOT, so that `dpkg --root` installs it into a folder.  The
program is compiled when it is installed: its user may not write there, and would compile it at every start.
"""

import shutil
import subprocess
import sys
from pathlib import Path

NAME, UNIT, USER = "connected-factory", "connected-factory-gateway.service", "connected-factory"
LIBRARY = Path("usr/lib/connected-factory")
LAUNCHER = """#!/usr/bin/python3
import sys
sys.path.insert(0, "/usr/lib/connected-factory")
from {package}.__main__ import main
main()
"""
CONTROL = """Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: connected-factory <maintainers@connected-factory.invalid>
Depends: python3 (>= {least}), python3 (<< {most}), systemd
Section: net
Priority: optional
Installed-Size: {kib}
Description: edge gateway that carries every value from OPC UA to MQTT
 A daemon that subscribes to OPC UA servers and delivers every change to MQTT
 brokers; what a broker has not acknowledged waits on the disk.
"""
POSTINST = f"""#!/bin/sh
set -e
if [ "$1" = configure ]; then
    systemd-sysusers ${{DPKG_ROOT:+--root="$DPKG_ROOT"}} connected-factory.conf
    own=$(sed -n 's/^{USER}:[^:]*:\\([0-9]*\\):\\([0-9]*\\):.*/\\1:\\2/p' "$DPKG_ROOT/etc/passwd")
    mkdir -p "$DPKG_ROOT/var/lib/connected-factory"
    chown "$own" "$DPKG_ROOT/var/lib/connected-factory"
    chmod 0750 "$DPKG_ROOT/var/lib/connected-factory"
    [ -n "$DPKG_ROOT" ] || python3 -m compileall -q /usr/lib/connected-factory || true
    if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl try-restart {UNIT}
        echo 'Edit /etc/connected-factory/gateway.yaml, then: systemctl enable --now {UNIT}'
    fi
fi
"""
PRERM = f"""#!/bin/sh
set -e
find "$DPKG_ROOT/usr/lib/connected-factory" -depth -type d -name __pycache__ -exec rm -rf {{}} +
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now {UNIT} || true
fi
"""


def unit_text(root: Path) -> str:
    """The unit, for a program of the system and a user of its own."""
    text = (root / "docker" / "systemd" / UNIT).read_text(encoding="utf-8")
    text = text.replace("/opt/connected-factory/bin/gateway", "/usr/bin/gateway")
    text = text.replace("DynamicUser=yes", f"User={USER}\nGroup={USER}")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("# Install:", "# (outbox")))


def config_text(root: Path) -> str:
    """The secured example, with the folders of the package."""
    text = (root / "config" / "gateway-secure.yaml").read_text(encoding="utf-8")
    text = text.replace("var/pki", "/var/lib/connected-factory/pki").replace(
        "var/outbox", "/var/lib/connected-factory/outbox"
    )
    return text.replace("secrets/", "/etc/connected-factory/secrets/")


def build(root: Path, program: Path, target: Path, version: str, architecture: str = "amd64") -> Path:
    """Build the package of a folder with the program and its libraries.  Needs `dpkg-deb`.  Returns the file."""
    tree = target / f"{NAME}-{version}-deb"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(program, tree / LIBRARY, ignore=shutil.ignore_patterns("__pycache__", "bin"))
    _write(tree / "usr/lib/systemd/system" / UNIT, unit_text(root))
    about, home = '"connected factory gateway"', "/var/lib/connected-factory"
    _write(tree / "usr/lib/sysusers.d/connected-factory.conf", f"u {USER} - {about} {home}\n")
    _write(tree / "etc/connected-factory/gateway.yaml", config_text(root))
    for package, command in (("gateway", "gateway"), ("simulators", "simulators")):
        _write(tree / "usr/bin" / command, LAUNCHER.format(package=package), 0o755)
    _write(tree / "DEBIAN/conffiles", "/etc/connected-factory/gateway.yaml\n")
    for script, text in (("postinst", POSTINST), ("prerm", PRERM)):
        _write(tree / "DEBIAN" / script, text, 0o755)
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    least, most = f"3.{sys.version_info[1]}", f"3.{sys.version_info[1] + 1}"
    control = CONTROL.format(
        name=NAME, version=version, architecture=architecture, least=least, most=most, kib=size // 1024 + 1
    )
    _write(tree / "DEBIAN/control", control)
    package_file = target / f"{NAME}_{version}_{architecture}.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(package_file)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return package_file


def program_of(wheel: Path, requirements: Path, into: Path) -> Path:
    """The program and its libraries in a folder, as the images have them: by their digests."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(into)]
    subprocess.run(
        [*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(requirements)], check=True
    )
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return into


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
