"""One OPC UA server as the gateway sees it: `open_source` connects, and what it gives yields batches.

The rooms, each of which imports only from those before it:

- `codec`: bytes and types; knows no session.
- `session`: one connection, its security, what asyncua needs.
- `space`: the server's address space, and which of its variables are selected.
- `subscription`: subscriptions, transfer, back-fill, polling.
- `explore` and `opening`: what other packages call.
"""

from gateway.opcua.opening import Source, open_source

__all__ = ["Source", "open_source"]
