"""Files with a secret or a key: who else may read them, and which rule allows their use.

The question is whether *others* may read the file.  Group access is allowed, since platforms use it to hand secrets to
a program that does not own them (0440 with `fsGroup` of Kubernetes and with systemd credentials).  Access for others is
allowed where the platform keeps them out by other means and the mode is not ours to change: in credential folders, and
on read-only mounts.
"""

import os
import stat
from pathlib import Path

from gateway.errors import ConfigError

MAX_BYTES = 65_535
"""The longest secret: the longest MQTT password (5, 3.1.3.6)."""
CREDENTIAL_FOLDERS = ("/run/secrets", "/run/credentials")
"""Where docker, podman and systemd put secrets, in addition to `$CREDENTIALS_DIRECTORY`."""


def must_be_file(path: Path, holds: str) -> None:
    """Raises `ConfigError` for a FIFO, a device or a folder, and `OSError` when it cannot be looked at."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError([f"{path} should hold {holds} but is not a file"])


def rule_for(path: Path, holds: str) -> str:
    """The rule by which this file may be used.

    Raises `ConfigError` when others may read it or it is not a file, and `OSError` when it cannot be inspected.
    """
    must_be_file(path, holds)
    found = path.stat()
    mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
    if not found.st_mode & stat.S_IROTH:
        return f"others may not read it ({mode})"
    folder = _credential_folder(path)
    if folder is not None:
        return f"others may read it ({mode}), in the credential folder {folder}"
    if os.statvfs(path).f_flag & os.ST_RDONLY and found.st_dev != os.stat("/").st_dev:
        return f"others may read it ({mode}), on a read-only mount"
    raise ConfigError([
        f"{path} holds {holds} but others may read it ({mode}; the group may, and others in a folder of credentials or "
        f"on a read-only mount): chmod 600 {path}, or 640"
    ])  # fmt: skip


def read_private(path: Path, holds: str) -> bytes:
    """The content of the file.  Raises `ConfigError` when it cannot be used."""
    try:
        rule_for(path, holds)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {holds} in {path}: {error.strerror}"]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path} should hold {holds} but is longer than {MAX_BYTES} bytes"])
    return data


def _credential_folder(path: Path) -> str | None:
    real = os.path.realpath(path)
    folders = (os.environ.get("CREDENTIALS_DIRECTORY", ""), *CREDENTIAL_FOLDERS)
    return next((each for each in folders if each and real.startswith(os.path.realpath(each) + os.sep)), None)
