"""Topic aliases of one session (MQTT 5, 3.3.2.3.4): a number of three bytes for a topic that was named before.

There are as many as the broker allows and the configuration wants, for the first topics of the session.  An alias is
used once the broker has taken the publish that set it, so it never stands for a topic that a broker refused to learn;
and since no publish is ever repeated within a session, and every session begins without aliases, a repeat names its
topic.  Refused: giving the aliases to the latest topics instead, which with more topics than aliases saves nothing at
all.
"""

import asyncio
from functools import partial

from gateway.delivery import Outcome, Verdict

SIZE_BYTES = 3
"""What an alias adds to a packet."""


class TopicAliases:
    """Which topics have a number, and whether the broker knows it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[str, int] = {}
        """By topic; 0 while the broker has not taken the publish that sets it."""

    def known(self, topic: str) -> int:
        """The alias that may stand for the topic; 0 for none."""
        return self._numbers.get(topic, 0)

    def free_for(self, topic: str) -> int:
        """An alias that the next publish may set for the topic, where that pays; 0 for none."""
        count = len(self._numbers)
        return count + 1 if count < self._most and topic not in self._numbers and len(topic) > SIZE_BYTES else 0

    def set_by(self, topic: str, alias: int, publish: asyncio.Future[Outcome]) -> None:
        """A publish that sets it is on its way."""
        self._numbers[topic] = 0
        publish.add_done_callback(partial(self._learnt, topic, alias))

    def _learnt(self, topic: str, alias: int, publish: asyncio.Future[Outcome]) -> None:
        if not publish.cancelled() and publish.exception() is None and publish.result().verdict is Verdict.DELIVERED:
            self._numbers[topic] = alias
