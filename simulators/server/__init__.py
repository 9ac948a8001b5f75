"""The factory as OPC UA servers: address space, information models, sessions and subscriptions (with asyncua)."""
