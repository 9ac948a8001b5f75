"""From batches to messages: pure functions of values, one file per format, no I/O.

A format groups the values of a batch by topic, encodes each group, and numbers the messages of each stream.  One stream
is one topic of one source in one outbox: its `seq` rises by one per message, so whoever subscribes to any set of topics
sees repeats and gaps by himself.  (With one topic per tag a stream is the level above the tags.)

    format        what a format is: how it encodes, and what it needs of tags, topics and brokers
    choose        which one: the list of all formats, and what makes messages as configured
    checks        what of a configuration cannot work with the chosen format
    layout, splitting    topics, streams, numbers, sizes: shared by all formats
    json          one object per value                      msgpack      the same as MessagePack
    columns       one array per field                       compressed   gzip or Zstandard around any of them
    frames        data sets: key and delta frames           pubsub, cloudevents   how they look on the wire
    forms, part6  how a value looks                         metadata, timestamps, gaps
    read          messages of all formats, read back
"""
