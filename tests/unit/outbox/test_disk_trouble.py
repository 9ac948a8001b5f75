"""What is said of a disk that refuses."""

import errno
import os
from pathlib import Path

import pytest

from gateway.outbox.disk_trouble import missing, text_of


@pytest.mark.parametrize(
    ("bytes_free", "files_free", "files", "words"),
    [
        (10, 0, 100, "no inodes left for another file, though 40960 bytes"),
        (0, 7, 100, "no bytes left"),
        (0, 0, 0, "no bytes left"),  # a file system that does not count files
        (10, 0, 0, "40960 bytes and 0 inodes are free now"),
        (10, 7, 100, "40960 bytes and 7 inodes are free now"),
    ],
)
def test_a_full_disk_says_whether_bytes_or_inodes_are_missing(
    bytes_free: int, files_free: int, files: int, words: str
) -> None:
    found = os.statvfs_result((4096, 4096, 1000, bytes_free, bytes_free, files, files_free, files_free, 0, 255))
    assert words in missing(found)


def test_other_disk_errors_have_the_text_of_the_system(tmp_path: Path) -> None:
    assert text_of(OSError(errno.EIO, "Input/output error"), tmp_path) == "Input/output error"
    assert "quota" in text_of(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path)
    assert "bytes" in text_of(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert text_of(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "gone") == "No space left on device"
