"""A release is whole or refused."""

import hashlib
import json
import re
import subprocess
import tomllib
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release import reference
from release.__main__ import problems, tag, version_of
from release.hashes import HEAD, requirements
from release.materials import bill_of_materials, licence_of, licences
from release.notes import notes_of, problems_of

CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-12-01

### Added

- This.

## [1.0.0] - 2026-11-01

- First.
"""


def digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def distribution(name: str, version: str, *requires: str, **metadata: Any) -> dict[str, Any]:
    said = {"name": name, "version": version, "requires_dist": list(requires), **metadata}
    return {
        "metadata": said,
        "download_info": {"url": "https://index.example/x", "archive_info": {"hashes": {"sha256": digest_of(name)}}},
    }


REPORT = {
    "install": [
        distribution("connected-factory", "1.1.0", "Py_Thing>=2", 'atheris>=3; extra == "fuzz"', license="MIT"),
        distribution("py-thing", "2.0", license_expression="Apache-2.0", summary="A thing."),
    ]
}


def checkout(folder: Path, version: str = "1.1.0", changelog: str = CHANGELOG) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(changelog)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], cwd=folder, check=True)
    return folder


def test_the_notes_of_a_version_are_its_section() -> None:
    assert notes_of(CHANGELOG, "1.1.0") == "### Added\n\n- This."
    assert notes_of(CHANGELOG, "1.0.0") == "- First."


def test_a_clean_checkout_with_notes_can_be_released(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    assert version_of(root) == "1.1.0"
    assert problems(root, "1.1.0") == []


def test_uncommitted_changes_are_not_released(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    (root / "new.py").touch()
    assert problems(root, "1.1.0") == ["not committed: new.py"]


@pytest.mark.parametrize(
    ("changelog", "said"),
    [
        (CHANGELOG.replace("[1.1.0] - 2026-12-01", "[1.0.9] - 2026-12-01"), "no notes of 1.1.0"),
        (CHANGELOG.replace("### Added\n\n- This.", ""), "are empty"),
        ("# Changelog\n\n- All in one.\n", "no notes of 1.1.0"),
        (CHANGELOG.replace(" - 2026-12-01", ""), "has no date"),
        (CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "under Unreleased"),
    ],
)
def test_without_complete_notes_nothing_is_released(changelog: str, said: str) -> None:
    (problem,) = problems_of(changelog, "1.1.0")
    assert said in problem


def test_a_version_is_released_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "x")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "x@x")
    tag(root, "1.1.0")
    assert "v1.1.0 exists" in problems(root, "1.1.0")[0]
    told = subprocess.run(["git", "tag", "-n9"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert "### Added" in told


def test_the_bill_of_materials_names_each_part_with_its_digest_and_what_it_needs() -> None:
    bill = bill_of_materials(REPORT, "connected-factory", datetime(2026, 12, 1, tzinfo=UTC))
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/connected-factory@1.1.0"
    (part,) = bill["components"]
    assert part["hashes"] == [{"alg": "SHA-256", "content": digest_of("py-thing")}]
    assert part["licenses"] == [{"expression": "Apache-2.0"}]
    assert bill["dependencies"][0]["dependsOn"] == ["pkg:pypi/py-thing@2.0"]
    assert "index.example" not in str(bill)  # where it was fetched is nobody's business


@pytest.mark.parametrize("installed", [REPORT["install"], None], ids=["a report", "what is installed here"])
def test_the_bill_of_materials_is_valid_cyclonedx(installed: list[dict[str, Any]] | None) -> None:
    here = {each.name: {"metadata": each.metadata.json} for each in distributions()}
    bill = bill_of_materials({"install": installed or list(here.values())}, "connected-factory", datetime.now(UTC))
    schema = JsonStrictValidator(SchemaVersion.V1_6)
    assert schema.validate_str(json.dumps(bill)) is None
    bill["components"][0]["type"] = "thing"
    assert "thing" in str(schema.validate_str(json.dumps(bill)))


def test_every_part_has_its_licence() -> None:
    assert licences(REPORT) == "connected-factory  1.1.0  MIT\npy-thing           2.0    Apache-2.0\n"


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"license_expression": "MIT", "license": "x"}, "MIT"),
        ({"classifier": ["License :: OSI Approved :: BSD License"]}, "BSD License"),
        (
            {"license": "Long text\nof a licence", "classifier": ["License :: OSI Approved :: MIT License"]},
            "MIT License",
        ),
        ({}, "unknown"),
    ],
)
def test_the_most_exact_licence_expression_is_used(metadata: dict[str, Any], licence: str) -> None:
    assert licence_of(metadata) == licence


ROOT = Path(__file__).parents[2]


def test_digests_of_several_processors_are_listed_and_addresses_are_not() -> None:
    other = {"install": [distribution("py-thing", "2.0")]}
    other["install"][0]["download_info"]["archive_info"]["hashes"]["sha256"] = "another"
    made = requirements([{"install": REPORT["install"][1:]}, other])
    first = REPORT["install"][1]["download_info"]["archive_info"]["hashes"]["sha256"]
    digests = "".join(f" \\\n    --hash=sha256:{each}" for each in sorted([first, "another"]))
    assert made == f"{HEAD}py-thing==2.0{digests}\n"
    with pytest.raises(ValueError, match="py-thing is"):
        requirements([{"install": [distribution("py-thing", "2.1")]}, other])


def test_the_images_install_what_the_tests_ran_with() -> None:
    """Digests are for those versions, of everything that the programs need; no line says where to get it."""
    text = (ROOT / "docker" / "requirements.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    tested = {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}
    assert {name: tested.get(name) for name in pinned} == pinned
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[<>=~;\[ ]", each)[0].lower().replace("_", "-") for each in project["dependencies"]}
    assert needed - pinned.keys() == {"iotcore"}  # a broker for the demo, which is not in the images
    assert "://" not in text


def test_the_reference_of_the_configuration_is_current() -> None:
    """`make generated` writes it."""
    assert (ROOT / "config" / "reference.md").read_text(encoding="utf-8") == reference.text()
