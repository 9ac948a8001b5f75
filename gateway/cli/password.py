"""`gateway password`: another password for a broker, tried before it is kept."""

import os
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import problems_told, until_interrupted
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError

if TYPE_CHECKING:
    from gateway.config import BrokerConfig, Config


def password(file: Path, broker: str, new_file: Path | None, try_it: bool) -> None:
    """Give a broker another password: log in with it, then keep it in the file that the configuration names."""
    from gateway.cli.ask import secret
    from gateway.loading import load

    with problems_told():
        config = load(file)
        chosen = _chosen(config, broker)
        kept = _file_of(chosen)
        value = _read(new_file) if new_file is not None else secret(f"New password for {chosen.name}:", "--new-file")
        told = _changed(config, chosen, kept, value, try_it=try_it)
    typer.echo(f"{told}{kept} has the new password: a running gateway takes it at its next login")


def _chosen(config: "Config", name: str) -> "BrokerConfig":
    found = [each for each in config.all_brokers if name in ("", each.name)]
    if len(found) != 1:
        names = ", ".join(each.name for each in config.all_brokers)
        raise ConfigError([f"which broker? there are {names}" if not name else f"no broker {name}: there are {names}"])
    return found[0]


def _file_of(broker: "BrokerConfig") -> Path:
    if broker.password is None:
        raise ConfigError([f"{broker.name} has no password in the configuration: set username and password there"])
    if broker.password.file is None:
        raise ConfigError(
            [f"the password of {broker.name} is in the environment ({broker.password.env}): set it there"]
        )
    return broker.password.file


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: cannot be read: {error}"]) from error


def _changed(config: "Config", broker: "BrokerConfig", kept: Path, value: str, *, try_it: bool) -> str:
    """Put the new one in the place of the old one, once the broker has taken it.  Raises `Unavailable`."""
    from gateway.config import Secret

    fresh = kept.with_name(f".{kept.name}.{uuid.uuid4().hex[:8]}")
    try:
        mode = stat.S_IMODE(kept.stat().st_mode) if kept.exists() else 0o600
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(value)
        told = ""
        if try_it:
            told = until_interrupted(
                lambda: _logged_in(config, broker.model_copy(update={"password": Secret(file=fresh)}))
            )
        fresh.chmod(mode)
        fresh.replace(kept)
        return told
    except OSError as error:
        raise ConfigError([f"{kept}: cannot be written: {error.strerror}"], EXIT_CANNOT_WRITE) from error
    finally:
        fresh.unlink(missing_ok=True)


async def _logged_in(config: "Config", broker: "BrokerConfig") -> str:
    """As somebody else than the gateway, which may run.  A cloud knows a device by its client id alone: not tried."""
    from gateway.link import Link
    from gateway.run.sink_kinds import kind_of

    if broker.profile is not None:
        return ""
    test_id = f"{config.name}-password-{uuid.uuid4().hex[:6]}"
    alone = broker.model_copy(update={"client_id": test_id})
    async with kind_of(broker).open_sink(alone, Link(broker.name, broker.url), test_id):
        return f"logged in at {broker.url}; "
