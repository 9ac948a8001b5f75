"""What an installation is made of: a bill of materials (CycloneDX 1.6) and a list of licences.  Pure.

Both are made of pip's installation report (`pip install --dry-run --report`), which names every distribution with its
metadata and the digest of the file that would be installed.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Component = dict[str, Any]
_CLASSIFIER = "License :: "


def licence_of(metadata: Mapping[str, Any]) -> str:
    """What a distribution says of its licence, the most exact word first; "unknown" when it says nothing."""
    if expression := metadata.get("license_expression"):
        return str(expression)
    said = [str(each).rpartition(" :: ")[2] for each in metadata.get("classifier", ()) if each.startswith(_CLASSIFIER)]
    text = str(metadata.get("license") or "").strip()
    if text and "\n" not in text and len(text) <= 60:
        return text
    return " and ".join(dict.fromkeys(said)) or (text.split("\n")[0].strip() if text else "") or "unknown"


def bill_of_materials(report: Mapping[str, Any], name: str, now: datetime) -> dict[str, Any]:
    """A CycloneDX document of one distribution and everything that it needs."""
    installed = {_normal(each["metadata"]["name"]): each for each in report["install"]}
    subject = installed.pop(_normal(name))
    components = [_component(each) for _, each in sorted(installed.items())]
    known = {_normal(each["metadata"]["name"]): _reference(each["metadata"]) for each in report["install"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, "|".join(sorted(known.values()))).urn,
        "version": 1,
        "metadata": {
            "timestamp": now.isoformat(timespec="seconds"),
            "component": {**_component(subject), "type": "application"},
        },
        "components": components,
        "dependencies": [
            {"ref": _reference(each["metadata"]), "dependsOn": sorted(_needed(each["metadata"], known))}
            for _, each in sorted({_normal(name): subject, **installed}.items())
        ],
    }


def licences(report: Mapping[str, Any]) -> str:
    """One line for each distribution: name, version, licence."""
    rows = sorted((m["name"], m["version"], licence_of(m)) for m in (each["metadata"] for each in report["install"]))
    width = max(len(name) for name, _, _ in rows), max(len(version) for _, version, _ in rows)
    return "".join(f"{name:{width[0]}}  {version:{width[1]}}  {licence}\n" for name, version, licence in rows)


def _component(installed: Mapping[str, Any]) -> Component:
    metadata = installed["metadata"]
    digests = installed.get("download_info", {}).get("archive_info", {}).get("hashes", {})
    component: Component = {
        "type": "library",
        "bom-ref": _reference(metadata),
        "name": metadata["name"],
        "version": metadata["version"],
        "purl": _reference(metadata),
        "licenses": _licences(metadata),
        "hashes": [{"alg": "SHA-256", "content": digests["sha256"]}] if "sha256" in digests else [],
    }
    if summary := metadata.get("summary"):
        component["description"] = summary
    return {key: value for key, value in component.items() if value != []}


def _licences(metadata: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if expression := metadata.get("license_expression"):
        return [{"expression": expression}]
    licence = licence_of(metadata)
    return [] if licence == "unknown" else [{"license": {"name": licence}}]


def _reference(metadata: Mapping[str, Any]) -> str:
    return f"pkg:pypi/{_normal(metadata['name'])}@{metadata['version']}"


def _needed(metadata: Mapping[str, Any], known: Mapping[str, str]) -> set[str]:
    """What it requires of what is there; a marker or an extra that does not hold leaves nothing behind here."""
    wanted = [each for each in metadata.get("requires_dist", ()) if "extra ==" not in each]
    names = (_normal(match[0]) for each in wanted if (match := re.match(r"[\w.-]+", each)))
    return {known[name] for name in names if name in known}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
