"""Bytes and types of OPC UA: binary encoding, node ids, publish responses, references.  Knows no session."""
