"""What to do when simulated time falls behind the wall clock: for the clock, and for the command line."""

from enum import StrEnum


class LatePolicy(StrEnum):
    """What to do when the simulation cannot keep up."""

    CATCH_UP = "catch_up"
    """Lose nothing: run late, report the lag, catch up when possible."""
    SLIP = "slip"
    """Give up the lost time: the simulation goes on from where it is."""
    FAIL = "fail"
    """End with `TooSlow`."""
