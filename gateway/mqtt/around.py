"""A session around another, with what only sessions of MQTT have."""

from typing import TypeVar

from gateway.delivery import Around
from gateway.mqtt.limits import BrokerLimits
from gateway.mqtt.sink import Sink, Version

Inner = TypeVar("Inner", bound=Sink)


class AroundSink(Around[Inner]):
    """A `Sink` without `send`: all other members are those of the inner session."""

    @property
    def limits(self) -> BrokerLimits:
        return self._inner.limits

    @property
    def version(self) -> Version:
        return self._inner.version

    @property
    def address(self) -> str:
        return self._inner.address
