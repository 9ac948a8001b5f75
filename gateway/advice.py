"""Advice for people about a peer that is away: one table, for the log and for the commands.

An error says what happened, with the peer's own words: the names of OPC UA status codes (Part 4, 7.39), the words of
TLS.  The advice says what to check next.  The first entry that matches applies, so exact ones stand above general ones.
"""

_HAND_OVER = (
    "the server does not trust our certificate; trust it there: most servers list it as a rejected, quarantined or "
    "untrusted client, and `gateway cert show` prints its thumbprint; or copy the file to the server that `gateway "
    "cert export FILE` writes (with --pki, if security.pki is set)"
)
_CLOCK = "compare the clocks of both machines (NTP)"
_RENEW = "`gateway cert renew` makes a new one, which must then be trusted on the server"
_USER = "is the name or the password wrong, or the user locked?"

SAID: tuple[tuple[str, str], ...] = (
    ("BadCertificateTimeInvalid", f"to the server our certificate is expired or not yet valid: {_CLOCK}; {_RENEW}"),
    ("BadCertificateIssuerTimeInvalid", f"to the server the issuer of our certificate is out of date: {_CLOCK}"),
    ("BadCertificateUriInvalid", f"our certificate has another application URI than we send: {_RENEW}"),
    ("BadCertificateHostNameInvalid", "the server compares host names: `url` must use a name that its certificate has"),
    ("BadCertificateUseNotAllowed", f"the server does not accept our certificate for this use: {_RENEW}"),
    ("BadCertificatePolicyCheckFailed", "the server requires another kind of key or signature in our certificate"),
    ("BadCertificateChainIncomplete", "the server does not have the issuer of our certificate: copy that to it too"),
    ("BadCertificateRevoked", f"the server's administrator has revoked our certificate: {_RENEW}"),
    ("BadCertificateRevocationUnknown", "the server has no revocation list for the issuer of our certificate"),
    ("BadCertificateIssuer", "the server cannot check the issuer of our certificate: copy it and its list there"),
    ("BadCertificateUntrusted", _HAND_OVER),
    ("BadSecurityChecksFailed", _HAND_OVER),
    ("BadCertificateInvalid", _HAND_OVER),
    ("BadApplicationSignatureInvalid", _HAND_OVER),
    ("BadInvalidTimestamp", f"the server finds our time impossible: {_CLOCK}"),
    ("BadSecurityPolicyRejected", "the server no longer offers this security: look at security.policy"),
    ("BadSecurityModeRejected", "the server no longer offers this security: look at security.mode"),
    (
        "BadIdentityTokenInvalid",
        "the server does not accept this kind of user: username, user_certificate, or neither?",
    ),
    ("BadIdentityTokenRejected", f"the server does not accept this user: {_USER}"),
    ("BadIdentityToken", "the server requires a user: set username and password (browse: --username, --password-env)"),
    ("BadUserAccessDenied", _USER),
    ("BadUserSignatureInvalid", "is user_key the key of user_certificate?"),
    (
        "BadTooManySessions",
        "the server has no free session: close other clients, or wait until lost sessions have timed out; many servers "
        "can be configured for more",
    ),
    ("BadTcpServerTooBusy", "the server has no free connection: close other clients, or wait"),
    ("BadTcpNotEnoughResources", "the server has no free connection: close other clients, or wait"),
    ("BadMaxConnectionsReached", "the server has no free connection: close other clients, or wait"),
    ("BadTcpEndpointUrlInvalid", "the server expects another host name or path: look at `url`"),
    ("BadTcpMessageTypeInvalid", "does an OPC UA server listen there, and is the port right?"),
    ("BadServerHalted", "the server is starting or stopping"),
    ("BadShutdown", "the server is starting or stopping"),
    ("BadLicense", "the server's licence has ended or is used up"),
    ("sent no chunk of OPC UA", "does an OPC UA server listen there, and is the port right?"),
    ("makes no sense", "does an OPC UA server listen there, and is the port right?"),
    (
        "its password holds the time",
        "compare that time with a clock (NTP), a few minutes are enough to be refused; if it is right, look at the key "
        "and at broker.device",
    ),
    ("user name or password is wrong", "look at broker.username and broker.password, and at the user in the broker"),
    ("this client is not authorized", "look at broker.username, and at what the broker allows this user and client id"),
    ("does not accept the client id", "look at broker.client_id: too long, or not the one the broker expects?"),
    ("certificate has expired", "renew it; if it is new, is the clock of this machine right?"),
    ("is not valid yet", "is the clock of this machine right?"),
    (
        "its authority is not trusted",
        "tls.ca must name a file with the authority of the broker's certificate; intermediate certificates must be "
        "sent by the broker or be in that file too",
    ),
    ("a certificate between it and", "the broker must send it, or tls.ca must contain it"),
    ("is not for the name", "use a name that is in the certificate, or set tls.server_name to one"),
    ("revocation list", "renew the list in tls.crl"),
)
"""Words of an error, and the advice."""

CHANNEL = "open a secure channel"
"""The action during which a server checks our certificate for the first time."""

CAUSES: dict[str, str] = {
    "refused": "no program listens there; is it running, and is the port right?",
    "unreachable": "is the address right, and the network up?",
    "name": "is the host name right?",
    "timeout": "is the address right, is there a firewall, does the peer use this protocol?",
}
"""The advice when only the cause is known."""


def is_distrust(text: str, cause: str = "") -> bool:
    """Whether an error means that the server does not trust our certificate."""
    return _HAND_OVER in advice_for(text, cause)


def advice_for(text: str, cause: str = "") -> str:
    """The advice for an error with this text and this one of `errors.CAUSES`.

    Empty: there is none, or the text contains it.
    """
    said = next((advice for words, advice in SAID if words in text), "")
    if said:
        return said
    if cause == "cut" and CHANNEL in text:
        return f"a server that disconnects here without a reason most often means: {_HAND_OVER}"
    return "" if "?" in text else CAUSES.get(cause, "")
