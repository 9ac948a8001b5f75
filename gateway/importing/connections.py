"""How a server is reached and logged in to, whatever the format calls it."""

import re
from urllib.parse import urlsplit

from gateway.errors import ConfigError
from gateway.importing.imported import ImportedSource, Notes, Tree
from gateway.modelling.names import Names
from gateway.urls import parse_url

POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
_BROKEN = ("Basic128Rsa15", "Basic256")


class Connections:
    """The sources of a file, one for each connection: the same server, login and way of reading."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._names = Names(r"[^A-Za-z0-9_.-]", most=60, first="s")
        self._found: dict[object, ImportedSource] = {}

    @property
    def sources(self) -> list[ImportedSource]:
        return [source for source in self._found.values() if source.select]

    def of(self, settings: Tree, where: str, name: str = "") -> ImportedSource:
        """The source with these settings (keys of `SourceConfig`); `url` is one of them.  Raises `ConfigError`."""
        try:
            url = str(parse_url(str(settings.get("url", "")), ("opc.tcp",)))
        except ValueError as error:
            raise ConfigError([f"{where}: {error}"]) from error
        key = repr(sorted((k, v) for k, v in settings.items() if k != "url")), url
        if key not in self._found:
            host = urlsplit(url).hostname or "server"
            own = self._names.of(name or host)
            self._found[key] = ImportedSource({"name": own, **settings, "url": url})
            self._name_password(self._found[key].settings, own)
        return self._found[key]

    @staticmethod
    def _name_password(settings: Tree, name: str) -> None:
        if "password" in settings:
            variable = re.sub("[^A-Z0-9]+", "_", name.upper()).strip("_")
            settings["password"] = {"env": f"OPCUA_PASSWORD_{variable}"}


def secured(policy: str, mode: str, where: str, notes: Notes, *, has_password: bool = False) -> Tree:
    """`security` or `insecure` for names of policy and mode, which may be URIs or `auto`."""
    policy, mode = policy.rpartition("#")[2].strip(), mode.strip()
    if "none" in (policy.casefold(), mode.casefold()):
        # The gateway refuses a password without protection; policy None with a checked certificate protects it.
        return {"security": {"policy": "None"}} if has_password else {"insecure": True}
    found: Tree = {}
    known = {each.casefold(): each for each in POLICIES}
    if policy.casefold() in known:
        found["policy"] = known[policy.casefold()]
    elif policy and policy.casefold() not in ("auto", "best"):
        why = "is broken" if policy in _BROKEN else "is not known here"
        notes.add(where, f"security policy {policy} {why}: the strongest that the server offers is used")
    modes = {"sign": "Sign", "signandencrypt": "SignAndEncrypt"}
    if mode.casefold().replace(" ", "") in modes:
        found["mode"] = modes[mode.casefold().replace(" ", "")]
    return {"security": found}
