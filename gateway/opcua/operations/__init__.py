"""Commands at a server: reading, writing and calling the nodes that rules name."""
