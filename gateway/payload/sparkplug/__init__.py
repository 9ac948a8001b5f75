"""The `sparkplug` format: an edge node of Sparkplug B 3.0.

    Batch ─ encoder ─► records in the outbox ─ session ─► births, data, deaths ─ numbers ─► seq and time ─► the wire
              │ tables, latest values                ▲
              └───────────── node ───────────────────┘

- `wire`: protobuf, and reading it back.  `datatypes`: from OPC UA to Sparkplug, and single values.
- `rows`: the metrics of a whole batch at once.
- `templates`: structures.  `compression`: payloads within payloads.
- `table`: the metrics of one device.  `node`: all devices of a route, their tables, aliases and latest values.
- `encoder`: what goes into the outbox.  Rows are stored as they are sent, without what only a session knows.
- `births`: births and deaths.  `own_metrics`: metrics of the edge node itself.
- `numbers`: `seq` and the time of sending, in the late stage.
- `deaths`: the will.
- `host`: the state of the primary host.  `rebirth`: how often births may be asked for.
- `edge_settings`, `session`: what an edge node does on one connection.  `barrier`: when a row counts as delivered.
- `edge`: one broker, from session to session.  `library`: what is kept beside the outbox for it.
- `form`: the `Format`.  `orders`: what hosts ask for.  `read`, `watched`: reading, for commands and `gateway watch`.
"""
