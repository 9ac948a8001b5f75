"""The container test takes minutes and root: it is asked for by `make compose-test`, not by every run."""

import os

collect_ignore = [] if os.environ.get("COMPOSE_TEST") else ["test_compose.py"]
