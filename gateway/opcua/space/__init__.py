"""What a server has: its address space, the variables that are selected, its type definitions, its events."""
