"""Approves a configuration when the gateways that took it first have been well for a while."""

from collections.abc import Collection
from pathlib import Path

from gateway.errors import ConfigError
from gateway.fleet.fleet import Fleet


class Approval:
    """One list of approved revisions, which the other gateways look at."""

    def __init__(self, file: Path, canaries: Collection[str], healthy_s: float) -> None:
        self._file = file
        self._canaries = frozenset(canaries)
        self._healthy_s = healthy_s
        self._revision = ""
        self._since_s = 0.0
        """Since when all canaries are well with it."""

    def look(self, fleet: Fleet, now_s: float) -> str:
        """Approve what is due.  Returns its revision; empty: nothing.  Raises `ConfigError` when the list cannot be
        written."""
        revision = self._well_with(fleet, now_s)
        if revision != self._revision:
            self._revision, self._since_s = revision, now_s
        if not revision or now_s - self._since_s < self._healthy_s:
            return ""
        return revision if self._listed(revision) else ""

    def _well_with(self, fleet: Fleet, now_s: float) -> str:
        """The one revision that all canaries have taken, while nothing is wrong with any of them; else empty."""
        found = {row.told.name: row for row in fleet.rows.values() if row.told.name in self._canaries}
        taken = {row.told.condition.pulled if row.told.condition is not None else None for row in found.values()}
        if found.keys() != self._canaries or len(taken) != 1 or any(row.faults(now_s) for row in found.values()):
            return ""
        (pulled,) = taken
        return pulled[0] if pulled is not None and pulled[1] == "taken" else ""

    def _listed(self, revision: str) -> bool:
        """Write it into the list.  False: it was there."""
        try:
            listed = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
            if any(line.split()[:1] == [revision] for line in listed.splitlines()):
                return False
            fresh = self._file.with_name(f"{self._file.name}.new")
            fresh.write_text(f"{listed}{revision} taken by {', '.join(sorted(self._canaries))}\n", encoding="utf-8")
            fresh.replace(self._file)
        except OSError as error:
            raise ConfigError([f"{self._file}: cannot be written: {error.strerror or error}"]) from error
        return True
