"""One OPC UA server: address, security, and how to read it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.quantities import Fields, Name, Seconds, Strict, url_of
from gateway.config.secret import Secret
from gateway.config.selection import Selection, ShapingConfig


class SecurityConfig(Strict):
    """Security of the channel to one OPC UA server.  `security: {}` uses the strongest that the server offers."""

    policy: Literal["auto", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "None"] = "auto"
    """SecurityPolicy; `auto` uses the strongest that the server offers, and never a weaker one than before.  `None` is
    for servers that protect only the password: values cross the network unencrypted and can be changed on their way.
    The server's certificate is still checked, since it encrypts the password."""
    mode: Literal["auto", "Sign", "SignAndEncrypt"] = "auto"
    """`auto` encrypts if the server supports it, and otherwise signs."""
    pki: Path = Path("var/pki")
    """Folder of certificates: `own`, `trusted`, `rejected`, `issuers`, `crl`.  Created at the first start, with our own
    certificate.  `gateway cert` shows and changes its content."""
    accept: tuple[Literal["expired", "uri", "usage", "key_size", "encoding"], ...] = ()
    """Faults that are accepted in this server's certificate, if the certificate itself is in `trusted`: `expired` (or
    not valid yet), `uri` (for another application, or for none), `usage` (not for servers, or unreadable extensions),
    `key_size` (RSA below 2048 bits, or signed with SHA-1), `encoding` (extensions that DER would write otherwise, so
    that its signature cannot be checked).  Each use is logged at every connect and counted."""
    missing_crl: Literal["accept", "refuse"] = "accept"
    """Whether to accept or refuse certificates of an issuer without a revocation list in `crl`.  A list that cannot be
    read, has a wrong signature or is out of date always refuses."""
    check_host: bool = True
    """Whether the certificate of a server that is trusted through its issuer must name the host of `url`.  A
    certificate that is trusted itself need not."""


class SourceConfig(Strict):
    """One OPC UA server."""

    name: Name
    """Its name in logs, metrics and streams."""
    url: Annotated[str, url_of("opc.tcp")]
    """Endpoint URL, `opc.tcp://host:4840`; without a port it is 4840."""
    insecure: bool = False
    """Use SecurityPolicy None for this server: no encryption, no authentication."""
    security: SecurityConfig | None = None
    """Security of the channel; required unless `insecure`."""
    username: str | None = None
    """Log in with user name and password; never over a channel that does not protect the password."""
    password: Secret | None = None
    """Where the password of `username` is stored."""
    user_certificate: Path | None = None
    """Log in with an X.509 certificate (DER or PEM); needs `user_key`."""
    user_key: Path | None = None
    """Private key of `user_certificate` (PEM or DER).  Other users must not be able to read it, as with a secret."""
    select: Annotated[tuple[Selection, ...], Field(min_length=1)]
    """The variables to read."""
    fields: Fields = Field(default_factory=dict)
    """Fields for the topic template, for all variables of this server."""
    mode: Literal["auto", "subscribe", "poll"] = "auto"
    """`subscribe`: the server reports changes.  `poll`: every variable is read at its sampling interval, and changes
    are sent. `auto`: subscribe, or poll if the server has no subscriptions."""
    publishing_interval: Seconds = 0.25
    """How often the server sends changes; a selection may have its own interval."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 20
    """How many samples per variable the server keeps between two publishes, and while the gateway is slow."""
    keep_alive: Seconds = 5.0
    """The longest silence of the server; after three of these the link counts as lost."""
    lifetime: Seconds = 600.0
    """How long the server keeps our subscription while we are disconnected."""
    session_timeout: Seconds = 60.0
    """How long the server keeps our session while we are disconnected."""
    request_timeout: Seconds = 10.0
    """Time-out for the answer to one request."""
    publish_requests: Annotated[int, Field(ge=1, le=100)] = 3
    """How many PublishRequests wait at the server, so that a slow round trip does not limit the rate; one more for each
    subscription after the first."""
    time_source: Literal["source", "server", "source-only"] = "source"
    """Which time a value gets.  `source`: the source timestamp, else the server timestamp, else the time of receipt.
    `server`: the server timestamp first, for machines with wrong clocks.  `source-only`: no time without a source
    timestamp.  If the time is not the source timestamp, the message says so: `time_source` is `server` or `receipt`."""
    backfill: Literal["off", "before", "beside"] = "before"
    """If a subscription was lost and the server keeps history: read the missed values and deliver them `before` the
    live values, or `beside` them, page by page, without delaying them.  They are marked as historical, in the same
    stream; values `beside` are not filtered by `shape`.  What cannot be read is announced in any case."""
    structures: bool = True
    """Read the server's definitions of structures at connect and decode them; otherwise they are sent as bytes."""
    rebrowse: Seconds = 600.0
    """With `subtree` and `type`: how often to browse for new and removed variables, in addition to the server's
    ModelChangeEvents.  New ones are subscribed to, removed ones are announced."""
    retry_failed: Seconds = 60.0
    """How often to retry variables that could not be subscribed to."""
    shape: ShapingConfig | None = None
    """Rules for values before they are sent, for all selections without their own `shape`."""

    @property
    def is_shaped(self) -> bool:
        """Whether there is any rule."""
        nothing = ShapingConfig()
        rules = [s.shape if s.shape is not None else self.shape for s in self.select if s.events is None]
        return any(rule is not None and rule != nothing for rule in rules)

    @model_validator(mode="after")
    def _secure_or_said_so(self) -> Self:
        if not self.insecure and self.security is None:
            raise ValueError(
                "security is not set for this server: write security: {} (the strongest that it offers), or "
                "insecure: true for SecurityPolicy None (no encryption, no authentication)"
            )
        if self.insecure and self.security is not None:
            raise ValueError("security and insecure: true contradict each other: keep one")
        return self

    @model_validator(mode="after")
    def _none_for_a_password(self) -> Self:
        if self.security is not None and self.security.policy == "None":
            if self.password is None:
                raise ValueError("security: {policy: None} protects nothing but a password: use insecure: true")
            if self.security.mode != "auto":
                raise ValueError("security: {policy: None} has no mode: leave it out")
        return self

    @model_validator(mode="after")
    def _one_user(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password need each other")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key need each other")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("log in with username or with user_certificate, not with both")
        if self.insecure and self.password is not None:
            raise ValueError(
                "insecure: true does not authenticate the server, so the password would be sent unencrypted, or "
                "encrypted for an unknown server: use security instead; for a server that protects only the password, "
                "security: {policy: None} checks its certificate first"
            )
        return self
