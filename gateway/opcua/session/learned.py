"""What one connection of a source leaves to the next."""

from dataclasses import dataclass, field

import structlog

from gateway.logs import Sparing, SparingLog
from gateway.opcua.session.calls import CallSizes


@dataclass(slots=True)
class Learned:
    """About one server.  Another address is another server."""

    sizes: CallSizes = field(default_factory=CallSizes)
    lines: Sparing = field(default_factory=Sparing)
    """What the log said of it: a server that flaps is not told of again and again."""
    url: str = ""

    def begin(self, source: str, url: str) -> SparingLog:
        """A connection to this address begins.  Returns its log, which says each thing once in a while."""
        if self.url not in ("", url):
            self.lines = Sparing()
        self.url = url
        self.sizes.begin(source, url)
        return SparingLog(structlog.get_logger("gateway.opcua").bind(source=source), self.lines)
