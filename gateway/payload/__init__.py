"""From batches to messages: pure functions of values, one file per format, no I/O.

A format groups the values of a batch by topic, encodes each group, and numbers the messages of each stream.  One stream
is one topic of one source in one outbox: its `seq` rises by one per message, so whoever subscribes to any set of topics
sees repeats and gaps by himself.
"""
