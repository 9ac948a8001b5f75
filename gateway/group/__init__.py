"""Several gateways as one, on a log that is also the lock (NATS JetStream).

Every source and every broker of the configuration is a *work*, which one *member* of the group does at a time.

- `plan`: who shall do what.  Pure.
- `claim`: who may write.  Pure.
"""
