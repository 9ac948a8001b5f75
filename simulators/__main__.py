"""`python -m simulators`."""

from simulators.cli import main

main()
