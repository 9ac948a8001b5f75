"""What is asked of a server beside its values: reading, writing and calling what rules name."""
