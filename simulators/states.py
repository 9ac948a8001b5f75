"""What a machine can be doing: eight states that exclude each other and together cover all time.

They are the one truth; PackML, OPC 40001-1 item state and operation mode are read off from them.
"""

from enum import StrEnum


class State(StrEnum):
    """The exclusive state of a machine."""

    WORKING = "working"
    SETUP = "setup"
    STARVED = "starved"
    BLOCKED = "blocked"
    HELD = "held"
    DOWN = "down"
    MAINTENANCE = "maintenance"
    OFF = "off"
