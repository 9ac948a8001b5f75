"""The MQTT side: one session with one broker, and the truth about every publish.

`connect.open_sink` is the way in.  `reasons` knows what a reason code means, `limits` what a broker takes, `dial` and
`tls` open the connection, and two sessions speak the protocol behind one contract (`sink.Sink`).
"""
