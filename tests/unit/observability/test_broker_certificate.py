"""The certificate of the stack's broker: made once, renewed in time, by an authority that stays."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from docker.mosquitto import make_certificate
from docker.mosquitto.make_certificate import RENEW, make

FILES = (
    "authority/ca.crt",
    "authority/ca.key",
    "broker/broker.crt",
    "broker/broker.key",
    "broker/ca.crt",
    "edge/ca.crt",
)


def made(folder: Path) -> dict[str, bytes]:
    for name in ("authority", "broker", "edge"):
        (folder / name).mkdir(exist_ok=True)
    make(folder / "authority", folder / "broker", os.getuid(), [folder / "edge"])
    return {name: (folder / name).read_bytes() for name in FILES}


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_second_start_changes_nothing_and_keys_are_for_one_reader(tmp_path: Path) -> None:
    assert made(tmp_path) == made(tmp_path)
    assert files_in(tmp_path) == sorted(FILES)
    for name in ("authority/ca.key", "broker/broker.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_certificate_that_ends_soon_is_renewed_by_the_same_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_certificate, "LASTS", RENEW - timedelta(hours=1))
    before = made(tmp_path)
    monkeypatch.undo()
    after = made(tmp_path)
    assert {name for name in FILES if before[name] != after[name]} == {"broker/broker.crt", "broker/broker.key"}
    assert made(tmp_path) == after


def test_an_interrupted_start_is_completed_by_the_next(tmp_path: Path) -> None:
    before = made(tmp_path)
    (tmp_path / "broker/broker.crt").unlink()
    (tmp_path / "broker/broker.key.new").write_text("half of it")
    after = made(tmp_path)
    assert after["broker/broker.key"] != before["broker/broker.key"]
    assert files_in(tmp_path) == sorted(FILES)
