"""The notes of one version: its section of `CHANGELOG.md`, which has the form of Keep a Changelog.  Pure."""

import re

_HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?[ \t]*$", re.MULTILINE)
UNRELEASED = "Unreleased"


def sections(changelog: str) -> dict[str, tuple[str, str]]:
    """By version, the date ("" for none) and the text of each section, newest first."""
    found = list(_HEADING.finditer(changelog))
    ends = [match.start() for match in found[1:]] + [len(changelog)] * bool(found)
    return {
        match["name"]: (match["date"] or "", changelog[match.end() : end].strip())
        for match, end in zip(found, ends, strict=True)
    }


def problems_of(changelog: str, version: str) -> list[str]:
    """Why this version cannot be released with these notes."""
    known = sections(changelog)
    date, text = known.get(version, ("", ""))
    if version not in known:
        return [f"CHANGELOG.md has no notes of {version}: put '## [{version}] - YYYY-MM-DD' below '## [{UNRELEASED}]'"]
    problems = [] if date else [f"CHANGELOG.md: the heading of {version} has no date"]
    problems += [] if text else [f"CHANGELOG.md: the notes of {version} are empty"]
    if known.get(UNRELEASED, ("", ""))[1]:
        problems.append(f"CHANGELOG.md: what stands under {UNRELEASED} would be in the build and not in its notes")
    return problems


def notes_of(changelog: str, version: str) -> str:
    """The notes of a version; those of what is not released where there are none yet."""
    known = sections(changelog)
    return known.get(version, known.get(UNRELEASED, ("", "")))[1]
