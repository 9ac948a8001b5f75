"""The OPC UA adapter: `open_source` connects to one server, and the result yields batches.

The subpackages; each imports only from those before it:

- `codec`: bytes and types; knows no session.
- `session`: one connection, its security, and the edge to asyncua.
- `space`: the server's address space, and the selected variables.
- `subscription`: subscriptions, transfer, back-fill, polling.
- `explore` and `opening`: the functions that other packages call.
"""

from gateway.opcua import client_alone  # noqa: F401 - first, because it imports asyncua without its server
from gateway.opcua.opening import Source, open_source
from gateway.opcua.session.learned import Learned

__all__ = ["Learned", "Source", "open_source"]
