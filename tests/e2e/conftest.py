"""The container test takes minutes and root: it is asked for by `make compose-test`, not by every run."""

import os

collect_ignore = [f"test_{what}.py" for what in ("compose", "package") if not os.environ.get(f"{what.upper()}_TEST")]
