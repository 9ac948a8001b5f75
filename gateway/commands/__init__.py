"""Commands: a request that arrives by a broker becomes one service call at a server, and gets one answer.

- `request`, `strict_json`: decoding of requests.  `arrival`: requester, topic of the answer, deadline and clocks.
- `allowed`: the only way from a text to a node.  `values`, `limits`, `rate`: which values may be written, how often.
- `perform`: all checks, one request to the server, and the read-back.  `worker`: the commands of one source, in order.
- `records`, `entries`, `journal_files`, `journal`: requests and answers on disk.  `audit`: the record of who did what.
- `outcome`, `forms`, `answers`: outcomes and answers.  `schema`: the JSON Schema of requests and answers.
- `codec`, `codecs`, `listening`: requests in other forms than our own, and their topics.
- `desk`: connects all of these.

This package knows no protocol: packets come from `gateway/delivery`, servers are used by `gateway/operations.py`.
"""
