"""The tables of `docs/clouds.md` that follow from the profiles: `python -m tests.support.cloud_tables` writes them."""

from pathlib import Path

from gateway.profiles import Profile, names_of_profiles, profile_named
from tests.support.programs import ROOT

DOCUMENT = ROOT / "docs" / "clouds.md"
BEGIN, END = "<!-- of the profiles: python -m tests.support.cloud_tables -->", "<!-- end of the profiles -->"


def does_to_data() -> list[str]:
    """What each cloud does to OPC UA data."""
    head = ["| profile | status | digits of time | order | repeats | retained |", f"|{' --- |' * 6}"]
    rows = []
    for name in names_of_profiles():
        does = profile_named(name).does_to_data
        rows.append(f"| `{name}` | {does.status} | {does.digits} | {does.order} | {does.repeats} | {does.retained} |")
    return head + rows


def limits() -> list[str]:
    """The limits that matter most."""
    columns = ("payload_bytes", "topic_slashes", "messages_per_s", "bytes_per_s", "keep_alive_max_s", "in_flight")
    head = [
        "| profile | MQTT | password | topic at the cloud | payload | slashes | messages/s | bytes/s | keep-alive |"
        " in flight | above the rate |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    return head + [_limits_of(profile_named(name), columns) for name in names_of_profiles()]


def _limits_of(profile: Profile, columns: tuple[str, ...]) -> str:
    def cell(name: str) -> str:
        value = profile.limit(name)
        return "" if value is None else f"{value:.0f}{'?' if profile.limits[name].unverified else ''}"

    login, topics = profile.login, profile.topics
    cells = [f"`{profile.name}`", ", ".join(login.versions), login.password, f"`{topics.publish}`"]
    return "| " + " | ".join([*cells, *map(cell, columns), profile.behaviour.over_rate]) + " |"


def written(text: str) -> str:
    """The document with its tables anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    doubt, title = "`?`: general knowledge that no source confirmed.", "What each cloud does to OPC UA data:"
    tables = "\n".join(["", *limits(), "", doubt, "", title, "", *does_to_data(), ""])
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


if __name__ == "__main__":
    Path(DOCUMENT).write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
