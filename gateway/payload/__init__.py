"""From batches to messages: pure functions of values, one file per format, no I/O.

A format groups the values of a batch by topic, encodes each group, and numbers the messages of each stream.  A stream
is one topic of one source in one outbox.  Its `seq` rises by one per message, so a subscriber to any set of topics can
see repeats and gaps.  (With one topic per tag, a stream is the topic level above the tags.)

    format        the interface of a format: how it encodes, and what it needs of tags, topics and brokers
    choose        the list of all formats, and the encoder for a configuration
    checks        configuration that does not fit the chosen format
    layout, splitting    topics, streams, numbers, sizes: shared by all formats
    json          one object per value                      msgpack      the same as MessagePack
    columns       one array per field                       compressed   gzip or Zstandard around any format
    frames        data sets: key and delta frames           pubsub, cloudevents   their forms on the wire
    forms, part6  the forms of values                       metadata, timestamps, gaps
    read          reads messages of all formats
"""
