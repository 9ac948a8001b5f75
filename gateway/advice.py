"""Advice for people about a peer that is away: one table, for the log and for the commands.

An error says what happened, with the peer's own words: the names of OPC UA status codes (Part 4, 7.39), the words of
TLS.  The advice says what to check next.  The first entry that matches applies, so exact ones stand above general ones.
"""

_HAND_OVER = (
    "the server does not trust our certificate: `gateway cert export FILE` writes it (with --pki, where security.pki "
    "is set), and it is trusted there, where most servers list it meanwhile as rejected, quarantined or untrusted "
    "client; `gateway cert show` says which it is"
)
_CLOCK = "compare the clocks of both machines (NTP)"
_RENEW = "`gateway cert renew` makes a new one, which the server must trust anew"
_USER = "is the name or the password wrong, or the user locked?"

SAID: tuple[tuple[str, str], ...] = (
    ("BadCertificateTimeInvalid", f"for the server our certificate is out of date: {_CLOCK}; {_RENEW}"),
    ("BadCertificateIssuerTimeInvalid", f"for the server the issuer of our certificate is out of date: {_CLOCK}"),
    ("BadCertificateUriInvalid", f"our certificate is for another application than we say: {_RENEW}"),
    ("BadCertificateHostNameInvalid", "the server compares host names: it must be trusted by the name in `url`"),
    ("BadCertificateUseNotAllowed", f"the server does not take our certificate for this use: {_RENEW}"),
    ("BadCertificatePolicyCheckFailed", "the server wants another kind of key or signature than our certificate has"),
    ("BadCertificateChainIncomplete", "the server does not know an issuer of our certificate: hand that over as well"),
    ("BadCertificateRevoked", f"the server's administrator has revoked our certificate: {_RENEW}"),
    ("BadCertificateRevocationUnknown", "the server has no revocation list for the issuer of our certificate"),
    ("BadCertificateIssuer", "the server cannot check the issuer of our certificate: hand over that and its list"),
    ("BadCertificateUntrusted", _HAND_OVER),
    ("BadSecurityChecksFailed", _HAND_OVER),
    ("BadCertificateInvalid", _HAND_OVER),
    ("BadApplicationSignatureInvalid", _HAND_OVER),
    ("BadInvalidTimestamp", f"the server finds our time impossible: {_CLOCK}"),
    ("BadSecurityPolicyRejected", "the server does not offer this security any more: look at security.policy"),
    ("BadSecurityModeRejected", "the server does not offer this security any more: look at security.mode"),
    ("BadIdentityTokenInvalid", "it does not take this kind of user: username, user_certificate, or nobody?"),
    ("BadIdentityTokenRejected", f"it does not take this user: {_USER}"),
    ("BadIdentityToken", "it wants a user that it knows: username and password (browse: --username, --password-env)"),
    ("BadUserAccessDenied", _USER),
    ("BadUserSignatureInvalid", "is user_key the key of user_certificate?"),
    (
        "BadTooManySessions",
        "the server has no session left: close other clients, or wait until sessions that were lost have ended there; "
        "many servers can be given more",
    ),
    ("BadTcpServerTooBusy", "the server has no connection left: close other clients, or wait"),
    ("BadTcpNotEnoughResources", "the server has no connection left: close other clients, or wait"),
    ("BadMaxConnectionsReached", "the server has no connection left: close other clients, or wait"),
    ("BadTcpEndpointUrlInvalid", "the server wants to be called by another name or path: look at `url`"),
    ("BadTcpMessageTypeInvalid", "does an OPC UA server listen there, and is the port right?"),
    ("BadServerHalted", "the server is starting or stopping"),
    ("BadShutdown", "the server is starting or stopping"),
    ("BadLicense", "the server's licence has ended or is used up"),
    ("sent no chunk of OPC UA", "does an OPC UA server listen there, and is the port right?"),
    ("makes no sense", "does an OPC UA server listen there, and is the port right?"),
    ("user name or password is wrong", "look at broker.username and broker.password, and at the user in the broker"),
    ("this client is not authorized", "look at broker.username, and at what the broker allows this user and client id"),
    ("does not accept the client id", "look at broker.client_id: too long, or not the one the broker expects?"),
    ("certificate has expired", "renew it; if it is new, is the clock of this machine right?"),
    ("is not valid yet", "is the clock of this machine right?"),
    (
        "its authority is not trusted",
        "tls.ca names the file with the authorities that may vouch for the broker; what is between them and the "
        "broker's certificate must come from the broker, or stand there as well",
    ),
    ("a certificate between it and", "the broker must send it too, or tls.ca contain it"),
    ("is not for the name", "use a name that is in the certificate, or say it as tls.server_name"),
    ("revocation list", "renew the list in tls.crl"),
)
"""Words of an error, and the advice."""

CHANNEL = "open a secure channel"
"""The action during which a server checks our certificate for the first time."""

CAUSES: dict[str, str] = {
    "refused": "nobody listens there; is it running, and is the port right?",
    "unreachable": "is the address right, and the network up?",
    "name": "is the host's name spelt right?",
    "timeout": "is the address right, is there a firewall, does it speak this protocol?",
}
"""The advice when only the cause is known."""


def advice_for(text: str, cause: str = "") -> str:
    """The advice for an error with this text and this one of `errors.CAUSES`.

    Empty: there is none, or the text contains it.
    """
    said = next((advice for words, advice in SAID if words in text), "")
    if said:
        return said
    if cause == "cut" and CHANNEL in text:
        return f"a server that hangs up here without a word most often means: {_HAND_OVER}"
    return "" if "?" in text else CAUSES.get(cause, "")
