"""A pipe where a certificate or a revocation list should be is refused or passed over; reading it would never end."""

import os
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.opcua.session.certificates import identity_or_none
from gateway.opcua.session.revocation import read_lists
from gateway.opcua.session.trust import FOLDERS, TrustStore


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path, 0o600)
    return path


def test_a_pipe_in_a_trust_folder_is_no_certificate(tmp_path: Path) -> None:
    for folder in FOLDERS:
        pipe(tmp_path / folder / "pipe.der")
    assert TrustStore(tmp_path).listed() == []


def test_a_pipe_among_revocation_lists_refuses_like_any_file_that_cannot_be_read(tmp_path: Path) -> None:
    where = pipe(tmp_path / "pipe.crl")
    assert str(where) in str(read_lists(tmp_path, is_required=False))


def test_a_pipe_as_our_certificate_is_a_mistake(tmp_path: Path) -> None:
    pipe(tmp_path / "own" / "certificate.der")
    with pytest.raises(ConfigError, match="is not a file"):
        identity_or_none(tmp_path)
