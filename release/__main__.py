"""`make release`: build wheel, source and Debian package, write notes, bill of materials and licences, tag.

    python -m release [--dry-run] [--dist FOLDER]

It refuses when something is not committed, when the version has no notes, or when its tag exists; and tags last, when
everything is built.  With `--dry-run` it tells what it would refuse, builds all the same, and tags nothing.  Runs in an
environment that has `build` and a pip of its own (see the Makefile).  Exit code 1 when it refused.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from release.deb import build as build_deb
from release.deb import program_of
from release.materials import bill_of_materials, licences
from release.notes import notes_of, problems_of

NAME = "connected-factory"
CARRIED = "group,kafka,otel"
"""The extras whose libraries the Debian package and the images carry, so the bill of materials has them."""


def problems(root: Path, version: str) -> list[str]:
    """Why the checkout in this folder cannot be released."""
    changed = _git(root, "status", "--porcelain")
    found = [f"not committed: {line[3:]}" for line in changed.splitlines()]
    found += problems_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if _git(root, "tag", "--list", f"v{version}").strip():
        found.append(f"the tag v{version} exists: raise `version` in pyproject.toml")
    return found


def version_of(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def build(root: Path, dist: Path, version: str) -> None:
    """Wheel, source, Debian package; beside them the notes, what an installation is made of, and the licences."""
    dist.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(dist), str(root)], check=True)
    wheel = max(dist.glob(f"{NAME.replace('-', '_')}-{version}-*.whl"), key=lambda path: path.stat().st_mtime)
    asked = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    answer = subprocess.run(
        [*asked, "-c", str(root / "constraints.txt"), f"{wheel}[{CARRIED}]"], check=True, capture_output=True, text=True
    )
    report = json.loads(answer.stdout)
    bill = bill_of_materials(report, NAME, datetime.now(UTC))
    notes = notes_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    (dist / f"{NAME}-{version}.cdx.json").write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    (dist / f"{NAME}-{version}-licenses.txt").write_text(licences(report), encoding="utf-8")
    (dist / f"{NAME}-{version}-notes.md").write_text(notes + "\n", encoding="utf-8")
    if shutil.which("dpkg-deb") is None:
        print("without dpkg-deb: no package for Debian is built", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        program = program_of(wheel, root / "docker" / "requirements.txt", Path(folder) / "program")
        build_deb(root, program, dist, version)


def tag(root: Path, version: str) -> None:
    notes = notes_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    message = f"{NAME} {version}\n\n{notes}\n"
    subprocess.run(
        ["git", "tag", "--annotate", "--cleanup=verbatim", "--file=-", f"v{version}"],
        cwd=root, input=message, text=True, check=True,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release ARGS=…", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="tell what would be refused, build, and tag nothing")
    parser.add_argument("--dist", type=Path, default=Path("dist"), help="where the files go")
    given = parser.parse_args()
    root = Path.cwd()
    version = version_of(root)
    refused = problems(root, version)
    for problem in refused:
        print(f"{'would be refused' if given.dry_run else 'refused'}: {problem}", file=sys.stderr)
    if refused and not given.dry_run:
        return 1
    build(root, given.dist, version)
    if given.dry_run:
        print(f"{version} is built in {given.dist}; nothing was tagged")
        return int(bool(refused))
    tag(root, version)
    print(f"{version} is built in {given.dist} and tagged v{version}; `git push origin v{version}` publishes the tag")
    return 0


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
