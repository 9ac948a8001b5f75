"""One OPC UA server: where it is, how the channel is secured, how it is read."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.quantities import Fields, Name, Seconds, Strict, url_of
from gateway.config.secret import Secret
from gateway.config.selection import Selection, ShapingConfig


class SecurityConfig(Strict):
    """How the channel to one OPC UA server is secured.  `security: {}` takes the strongest the server offers."""

    policy: Literal["auto", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "None"] = "auto"
    """SecurityPolicy; `auto` takes the strongest the server offers, and never a weaker one than before.  `None` is for
    servers that secure nothing but the password: values cross the network in clear and can be changed on their way.
    The server's certificate is checked all the same, for it is what the password is encrypted with."""
    mode: Literal["auto", "Sign", "SignAndEncrypt"] = "auto"
    """`auto` encrypts where the server can, and signs otherwise."""
    pki: Path = Path("var/pki")
    """Folder of certificates: `own`, `trusted`, `rejected`, `issuers`, `crl`.  Made at first start, with a certificate
    of our own; `gateway cert` shows and changes what is in it."""
    accept: tuple[Literal["expired", "uri", "usage", "key_size"], ...] = ()
    """What may be wrong with the certificate of this server and is accepted all the same, if the certificate is itself
    in `trusted`: `expired` (or not valid yet), `uri` (made for another application, or for none), `usage` (not made
    for servers, or its extensions cannot be read), `key_size` (RSA below 2048 bits, or signed with SHA-1).  It is
    logged at every connect and counted."""
    missing_crl: Literal["accept", "refuse"] = "accept"
    """What it means that an issuer has no revocation list in `crl`: it has revoked nobody, or nobody can tell.  A list
    that is there and cannot be read, has a wrong signature or is out of date always refuses."""
    check_host: bool = True
    """The certificate of a server that is trusted through its issuer must name the host of `url`.  A certificate that
    is trusted itself need not."""


class SourceConfig(Strict):
    """One OPC UA server."""

    name: Name
    """Its name in logs, metrics and streams."""
    url: Annotated[str, url_of("opc.tcp")]
    """Endpoint URL, `opc.tcp://host:4840`; without a port it is 4840."""
    insecure: bool = False
    """Use SecurityPolicy None for this server: nothing is encrypted and nobody is checked."""
    security: SecurityConfig | None = None
    """How the channel is secured; needed unless `insecure`."""
    username: str | None = None
    """Log in with a name and a password; never over a channel that does not protect it."""
    password: Secret | None = None
    """Where the password of `username` is kept."""
    user_certificate: Path | None = None
    """Log in with an X.509 certificate (DER or PEM); needs `user_key`."""
    user_key: Path | None = None
    """Private key of `user_certificate` (PEM or DER).  Others must not be able to read it, as with a secret."""
    select: Annotated[tuple[Selection, ...], Field(min_length=1)]
    """Which variables to subscribe to."""
    fields: Fields = Field(default_factory=dict)
    """Fields for the topic template, for all variables of this server."""
    mode: Literal["auto", "subscribe", "poll"] = "auto"
    """`subscribe`: the server tells what has changed.  `poll`: every variable is read at its sampling interval, and
    what has changed since is sent.  `auto` subscribes, and polls where the server has no subscriptions."""
    publishing_interval: Seconds = 0.25
    """How often the server sends what changed; a selection may have an interval of its own."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 20
    """How many samples per variable the server keeps between two publishes, and while we are slow."""
    keep_alive: Seconds = 5.0
    """The server says at least this often that it is there; after three silent ones the link counts as lost."""
    lifetime: Seconds = 600.0
    """How long the server keeps our subscription while we are away."""
    session_timeout: Seconds = 60.0
    """How long the server keeps our session while we are away."""
    request_timeout: Seconds = 10.0
    """How long to wait for the answer to one request."""
    publish_requests: Annotated[int, Field(ge=1, le=100)] = 3
    """How many PublishRequests wait at the server, so that a slow round trip does not cap the rate; one more for each
    subscription beyond the first."""
    time_source: Literal["source", "server", "source-only"] = "source"
    """Which time a value has.  `source`: that of its source, else that of the server, else that of receipt.  `server`:
    that of the server first, where the clocks of machines are wrong.  `source-only`: a value whose source gave no time
    has none.  Where the time is not the source's, the message says so: `time_source` is `server` or `receipt`."""
    backfill: Literal["off", "before", "beside"] = "before"
    """Where a subscription was lost and the server keeps history: read what was missed and deliver it `before` the live
    values, or `beside` them, page by page, without keeping them waiting.  It is marked as historical, in the same
    stream; values `beside` are not thinned by `shape`.  What cannot be read is announced either way."""
    structures: bool = True
    """Read the server's definitions of structures at connect and decode them; else they are passed on as bytes."""
    rebrowse: Seconds = 600.0
    """With `subtree` and `type`: look this often for variables that came or went, beside what the server tells of its
    own accord (ModelChangeEvents).  What came is subscribed to, what went is announced."""
    retry_failed: Seconds = 60.0
    """A variable that could not be subscribed to is tried again this often."""
    shape: ShapingConfig | None = None
    """What happens to values here, before they are sent: for all selections that have no `shape` of their own."""

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
                "nothing says how to secure this server: write security: {} (takes the strongest it offers), or "
                "insecure: true for SecurityPolicy None, which encrypts nothing and checks nobody"
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
            raise ValueError("username and password go together")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key go together")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("log in with username or with user_certificate, not with both")
        if self.insecure and self.password is not None:
            raise ValueError(
                "insecure: true checks nobody, so the password would cross the network in clear, or encrypted for "
                "whoever answers: use security instead; where the server secures nothing but the password, "
                "security: {policy: None} checks its certificate first"
            )
        return self
