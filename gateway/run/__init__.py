"""What runs: sources and sinks, each a unit with a life of its own, and the loop that brings about what is wanted.

- `changes`: what another configuration asks for.  Pure.
- `gateway`: what all peers share, and who is there.
- `life`: one peer's work, whose faults stay inside.
- `sink_kinds`, `sink_unit`, `source_unit`: one sink, one source; nothing else imports what speaks to them.
- `reconcile`: opens, begins, changes and ends the units.
- `app`: the process.
"""
