"""The durable bounded FIFO between sources and brokers."""

from gateway.outbox.files import Files
from gateway.outbox.losses import Loss
from gateway.outbox.outbox import Outbox, open_outbox
from gateway.outbox.reader import Reader, Record

__all__ = ["Files", "Loss", "Outbox", "Reader", "Record", "open_outbox"]
