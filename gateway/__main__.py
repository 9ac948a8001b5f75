"""`python -m gateway`, and the `gateway` command."""

import os
import sys
from importlib import import_module

from gateway.process_signals import EXIT_INTERRUPTED, from_now_on, from_the_first_moment, to_the_last
from gateway.stop_deadline import sigterm_thread


def main() -> None:
    """Entry point of the `gateway` command."""
    from_the_first_moment()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here uses
    if sys.argv[1:2] == ["run"]:
        sigterm_thread()
        _import_without_rich()
    try:
        from gateway.cli import main as command  # the import takes a second: signals are set up before it

        from_now_on()
        command()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        to_the_last()


def _import_without_rich() -> None:
    """structlog takes rich for tracebacks, if it is there.  The daemon's are text: 60 modules and 3 MiB less."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import_module("structlog")
    finally:
        del sys.modules["rich"]


if __name__ == "__main__":
    main()
