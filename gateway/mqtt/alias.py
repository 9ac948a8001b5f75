"""Topic aliases of one session (MQTT 5, 3.3.2.3.4): a number of three bytes in place of a topic sent before.

The first topics of a session get them, as many as the broker allows and the configuration wants.  An alias is used only
after the broker has accepted the publish that set it, so it never stands for a topic that the broker refused.  No
publish is repeated within a session, and every session starts without aliases, so a repeat always names its topic.
Refused: giving aliases to the latest topics; with more topics than aliases that would save nothing.
"""

import asyncio
from functools import partial

from gateway.delivery import Outcome, Verdict

SIZE_BYTES = 3
"""The size that an alias adds to a packet."""


class TopicAliases:
    """The aliases of topics, and whether the broker has accepted them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._numbers: dict[str, int] = {}
        """By topic; 0 until the broker has accepted the publish that sets it."""

    def known(self, topic: str) -> int:
        """The alias that may replace the topic; 0: none."""
        return self._numbers.get(topic, 0)

    def free_for(self, topic: str) -> int:
        """An alias that the next publish may set for the topic, if that saves bytes; 0: none."""
        count = len(self._numbers)
        return count + 1 if count < self.most and topic not in self._numbers and len(topic) > SIZE_BYTES else 0

    def set_by(self, topic: str, alias: int, publish: asyncio.Future[Outcome]) -> None:
        """Note a publish that sets the alias."""
        self._numbers[topic] = 0
        publish.add_done_callback(partial(self._learnt, topic, alias))

    def _learnt(self, topic: str, alias: int, publish: asyncio.Future[Outcome]) -> None:
        if not publish.cancelled() and publish.exception() is None and publish.result().verdict is Verdict.DELIVERED:
            self._numbers[topic] = alias
