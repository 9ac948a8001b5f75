"""`python -m simulators`, and the `simulators` command."""

import os
import sys

from simulators.process_signals import EXIT_INTERRUPTED, from_now_on, from_the_first_moment, to_the_last


def main() -> None:
    """Entry point of the `simulators` command."""
    from_the_first_moment()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices of `verify` cost four times the CPU with threads
    try:
        from simulators.cli import main as command  # the import takes a second: signals are set up before it

        from_now_on()
        command()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        to_the_last()


if __name__ == "__main__":
    main()
