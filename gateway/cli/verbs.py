"""What `gateway command` can ask for."""

from enum import StrEnum


class Verb(StrEnum):
    READ = "read"
    WRITE = "write"
    CALL = "call"
    BROWSE = "browse"
    REFRESH = "refresh"
    HISTORY = "history"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    ACKNOWLEDGE = "acknowledge"
    ACK = "ack"
    CONFIRM = "confirm"
    DIAGNOSTICS = "diagnostics"
    RELOAD = "reload"
