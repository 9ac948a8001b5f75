"""What to say about a disk that refuses: which of its resources is used up."""

import errno
import os
from pathlib import Path


def text_of(error: OSError, folder: Path) -> str:
    """What the system says, and of a full disk whether bytes or inodes (files) are missing; it may block."""
    said = error.strerror or str(error)
    if error.errno == errno.EDQUOT:
        return f"{said}: the quota of this user, group or project is used up"
    if error.errno != errno.ENOSPC:
        return said
    try:
        found = os.statvfs(folder)
    except OSError:
        return said
    return f"{said}: {missing(found)}"


def missing(found: os.statvfs_result) -> str:
    """Which resource an unprivileged process has none of."""
    bytes_left, files_left = found.f_bavail * found.f_frsize, found.f_favail
    if found.f_files and not files_left:
        return f"it has no inodes left for another file, though {bytes_left} bytes are free"
    if bytes_left < found.f_bsize:
        return "it has no bytes left"
    return f"{bytes_left} bytes and {files_left} inodes are free now"
