"""A simulated factory: SimPy lines of machines, served as OPC UA servers."""
