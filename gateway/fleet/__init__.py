"""A fleet: many gateways, as their retained presence messages at one broker tell it.

`reading.py` reads one message that may hold anything, `fleet.py` keeps what was told last, and `judging.py` says what
is wrong; `approving.py` lets all follow where a canary is well.  Nothing here speaks MQTT or HTTP.
"""

from gateway.fleet.approving import Approval
from gateway.fleet.fleet import Fleet, Row, Watched
from gateway.fleet.judging import Fault, Level

__all__ = ["Approval", "Fault", "Fleet", "Level", "Row", "Watched"]
