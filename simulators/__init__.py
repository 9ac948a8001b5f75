"""A factory worth connecting: SimPy lines of machines, served as OPC UA."""
