"""A configuration that is not on this machine: pulled from a folder, HTTPS or NATS, and kept here.

`settings.py` is the small file that stays on the machine, `origin.py` and `nats_kv.py` read where it points, `kept.py`
is the folder with the last good one, and `puller.py` decides what is taken, and when.  Checking and taking are those of
a reload (`gateway/run`).
"""

from gateway.pull.kept import Kept, revision_of
from gateway.pull.puller import Puller, origin_of
from gateway.pull.settings import PullFile, load_pull

__all__ = ["Kept", "PullFile", "Puller", "load_pull", "origin_of", "revision_of"]
