"""Who works at a station: the people of its team change places every eight hours."""

TURN_S = 28_800.0


def person_of(team: str, people: int, place: int, now_s: float) -> str:
    """The person of a team of `people` who works at the machine with number `place` at this time."""
    return f"{team}-{(int(now_s // TURN_S) + place) % people + 1}" if team else ""
