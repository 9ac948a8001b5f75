"""The content of a server: address space, selected variables, type definitions, events."""
