"""One connection to one server: certificates and trust, the secure channel, the session, and the edge to asyncua."""
