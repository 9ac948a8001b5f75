"""What the gateway sends and takes, described without a format, and as models that other systems import.

    server ─ gateway/opcua/facts.py ─► `SourceTable` ─ describe.py ─► `Description` ─┬─ json_schema.py, asyncapi.py
    or the file of `gateway model read` (table_file.py)                              ├─ wot.py, dtdl.py, samm.py
                                                                                     └─ aas.py, nodeset.py

A model is written in pieces, as an iterator of texts: a plant of 100 000 variables is never one text in memory.  What a
format cannot say is told once for each kind (`Told`), and never makes the model invalid.
"""
