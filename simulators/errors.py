"""The errors of plant files and of commands to machines."""

EXIT_CONFIG = 78
"""Exit code for a plant file with mistakes (`EX_CONFIG` of sysexits.h)."""


class ConfigError(Exception):
    """The plant file has mistakes.  Holds every mistake found, one line each, ready to print."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Illegal(Exception):  # noqa: N818 - it is an answer to a command, not a fault of the program
    """The machine cannot obey a command in its present state.  Nothing has changed."""


class OutOfRange(ValueError):  # noqa: N818 - it is an answer to a command, not a fault of the program
    """A set-point does not accept this value.  Nothing has changed."""
