"""Sources and sinks, each as a unit with its own life, and the loop that applies a configuration to them.

- `changes`: the difference between two configurations.  Pure.
- `gateway`: the shared state, and the list of peers.
- `life`: the work of one peer, with its faults contained.
- `sink_kinds`, `sink_unit`, `source_unit`: one sink, one source.  Only these import the protocol packages.
- `state`, `search`, `acts`, `inside`: what people see on the live page, and what they may do there.
- `reconcile`: opens, starts, changes and ends the units.
- `app`: the process.
"""
