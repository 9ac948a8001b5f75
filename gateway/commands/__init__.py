"""Commands: from a message of a broker to one service of a server, once, and with an answer that can be believed.

- `request`, `strict_json`: what may be said.  `arrival`: whose it is, where its answer goes, whether its time is right.
- `allowed`: the only way from a text to a node.  `values`, `limits`, `rate`: what may be written.
- `perform`: all checks, one request to the server, and a look at what it did.  `worker`: one source, in order.
- `records`, `entries`, `journal_files`, `journal`: what was asked and answered, on the disk.  `audit`: who did what.
- `outcome`, `forms`, `answers`: what is told.  `schema`: the form of it all.
- `desk`: all of it together.

No protocol is spoken here: packets come by `gateway/delivery`, servers are asked by `gateway/operations.py`.
"""
