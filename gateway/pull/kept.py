"""The folder with the configuration that is in use, the one that is wanted, and the last one that was refused.

Files are replaced as a whole, and on the disk before their name is.  Every method blocks, and may raise `OSError`.
"""

import hashlib
import os
from pathlib import Path


def revision_of(data: bytes) -> str:
    """A name for this very content."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Kept:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def good(self) -> Path:
        """The last one that was taken."""
        return self._folder / "configuration.yaml"

    @property
    def wanted(self) -> Path:
        """The one to be taken next."""
        return self._folder / "wanted.yaml"

    @property
    def refused(self) -> Path:
        """The last one that was refused, for people to look at."""
        return self._folder / "refused.yaml"

    @property
    def present(self) -> Path:
        """What a reload reads."""
        return self.wanted if self.wanted.exists() else self.good

    def revision(self, path: Path) -> str:
        """Of a file; empty: there is none."""
        try:
            return revision_of(path.read_bytes())
        except FileNotFoundError:
            return ""

    def want(self, data: bytes) -> None:
        """Write the one that is to be taken."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self.wanted.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._rename(fresh, self.wanted)

    def took(self) -> None:
        """The present one is in use."""
        if self.wanted.exists():
            self._rename(self.wanted, self.good)

    def refuse(self) -> None:
        """The wanted one cannot be used."""
        self._rename(self.wanted, self.refused)

    def forget_wanted(self) -> None:
        """What an earlier process did not come to take is looked at anew."""
        self.wanted.unlink(missing_ok=True)

    def _rename(self, old: Path, new: Path) -> None:
        old.replace(new)
        number = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
