"""What an image may install: versions with the digests of their files, for `pip install --require-hashes`.

    python -m release.hashes REPORT... > docker/requirements.txt

Made of pip's installation reports, one for each processor.  A digest holds wherever the file comes from, so no address
is written down.  `constraints.txt` stays without: pip wants a digest of everything then, also of this project itself.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEAD = "# Written by release/hashes.py from reports of pip: what the images install, with the digests of the files.\n"


def requirements(reports: Iterable[Mapping[str, Any]]) -> str:
    """One entry for each distribution.  Raises `ValueError` where two reports have different versions of one."""
    versions: dict[str, str] = {}
    digests: dict[str, set[str]] = {}
    for report in reports:
        for each in report["install"]:
            name, version = each["metadata"]["name"].lower().replace("_", "-"), each["metadata"]["version"]
            if versions.setdefault(name, version) != version:
                raise ValueError(f"{name} is {versions[name]} for one processor and {version} for another")
            digests.setdefault(name, set()).add(each["download_info"]["archive_info"]["hashes"]["sha256"])
    return HEAD + "".join(
        f"{name}=={versions[name]}" + "".join(f" \\\n    --hash=sha256:{each}" for each in sorted(digests[name])) + "\n"
        for name in sorted(versions)
    )


if __name__ == "__main__":
    sys.stdout.write(requirements(json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]))
