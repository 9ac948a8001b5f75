"""The programs that carry values from OPC UA to MQTT, one entry each.

Another contestant is another entry of `CONTESTANTS`: what it writes (a reader of `formats.py`) and a function that
gives the command which subscribes to `ns=2;s=v000000` … at `setting.url` and publishes with QoS 1 to the broker on
`setting.mqtt_port`.  What it needs is installed into `var/bench` by `install.py` (`needs`).
"""

from tests.bench.chain.contestants.by_hand import BY_HAND
from tests.bench.chain.contestants.entry import ROOT, Command, Contestant, Setting
from tests.bench.chain.contestants.node_red import RED
from tests.bench.chain.contestants.ours import ours
from tests.bench.chain.contestants.thingsboard import BOARD

__all__ = ["CONTESTANTS", "ROOT", "Command", "Contestant", "Setting", "ours"]

CONTESTANTS: dict[str, Contestant] = {each.name: each for each in (*ours(), *BY_HAND, RED, BOARD)}
