"""The loops between the adapters: `collect` from a server into the outbox, `forward` from the outbox to a broker.

Data travels one way and is acknowledged the other way: a notification to its server once the outbox has it, a record to
the outbox once the broker has it.  There is no queue in memory between source and disk.
"""
