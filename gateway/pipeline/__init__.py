"""The loops between the adapters: `collect` from a server into the outbox, `forward` from the outbox to a broker.

Data travels one way, acknowledgements the other: the server gets one when the outbox has the notification, the outbox
when the broker has the record.  There is no queue in memory between source and disk.
"""
