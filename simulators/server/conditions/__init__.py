"""Alarms and dialogs (OPC UA Part 9): what they remember, when they are active, how they are shown and operated."""

from simulators.server.conditions.methods import ConditionMethods
from simulators.server.conditions.shown import Conditions

__all__ = ["ConditionMethods", "Conditions"]
