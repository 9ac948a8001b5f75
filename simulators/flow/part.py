"""One part on its way through a line."""


class Part:
    """A part knows its serial number, its product, when it entered, and which machines it has visited."""

    __slots__ = ("entered_s", "product", "queued_s", "serial", "visits")

    def __init__(self, serial: str, product: str, entered_s: float) -> None:
        self.serial = serial
        self.product = product
        self.entered_s = entered_s
        self.queued_s = entered_s
        self.visits: list[tuple[str, float, float]] = []
