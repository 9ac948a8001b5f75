"""Clouds on this machine: a broker that behaves as a profile says, for tests, for users' tests and for training.

`packets` is MQTT 3.1.1 and 5 as a server needs it, written for this alone, so that the gateway's own codec is not its
mirror.  `policy` decides from the profile (pure), `broker` listens and obeys.
"""
