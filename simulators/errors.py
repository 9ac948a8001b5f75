"""What a plant file or a command can do wrong."""

EXIT_CONFIG = 78
"""Exit code of a plant file that cannot work (`EX_CONFIG` of sysexits.h)."""


class ConfigError(Exception):
    """The plant file cannot work: every problem found, one line each, ready to print."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Illegal(Exception):  # noqa: N818 - it names a verdict on a command, not a mistake of ours
    """A command that the machine cannot obey in its present state: nothing has changed."""
