"""What a profile makes of a broker's keys that the file leaves out: address, version, bounds.

The model of a broker then has plain values, so that nobody else asks where they come from.
"""

from collections.abc import Mapping

from gateway.errors import ConfigError
from gateway.profiles import Profile, profile_named
from gateway.urls import parse_url

DPS = "https://global.azure-devices-provisioning.net"
KEEP_ALIVE_S = 15.0
WINDOW = 100
SCHEMES = ("mqtt", "mqtts", "ws", "wss")


def profile_or_mistake(name: str) -> Profile:
    """The profile.  Raises `ValueError` with what is wrong."""
    try:
        return profile_named(name)
    except ConfigError as error:
        raise ValueError("; ".join(error.problems)) from error


def with_profile(given: Mapping[object, object]) -> dict[object, object]:
    """The keys of a broker with those that its profile answers.  Raises `ValueError`."""
    profile = profile_or_mistake(str(given["profile"]))
    url = given.get("url") or _url_of(profile, given.get("endpoint") or _before_provisioning(given))
    known: dict[object, object] = {"url": url, "keep_alive": _keep_alive_s(profile)}
    if len(profile.login.versions) == 1:
        known["version"] = profile.login.versions[0]
    if (window := profile.limit("in_flight")) is not None:
        known["window"] = min(WINDOW, int(window))
    if (most := profile.limit("packet_bytes") or profile.limit("payload_bytes")) is not None:
        known["max_packet"] = int(most)
    if (aliases := profile.limit("topic_aliases")) is not None:
        known["topic_aliases"] = int(aliases)
    made = {**known, **given, "url": url}
    tls = given.get("tls", {})
    if (
        isinstance(url, str)
        and isinstance(tls, Mapping)
        and "alpn" not in tls
        and (alpn := _alpn_of(profile, url, given))
    ):
        made["tls"] = {**tls, "alpn": [alpn]}
    return made


def _url_of(profile: Profile, endpoint: object) -> str:
    port = profile.login.ports[0]
    if not isinstance(endpoint, str) or not endpoint:
        form = f" ({profile.endpoint})" if profile.endpoint else ""
        raise ValueError(f"the profile {profile.name} needs an endpoint: the address that its console shows{form}")
    host, colon, number = endpoint.rpartition(":")
    if colon and number.isdigit() and ":" not in host:
        found = profile.port_of(int(number))
        return f"{'mqtts' if found is None or found.tls else 'mqtt'}://{host}:{number}"
    return f"{'mqtts' if port.tls else 'mqtt'}://{endpoint}:{port.port}"


def url_at(profile: Profile, host: str) -> str:
    """The address of a cloud's host."""
    return _url_of(profile, host)


def _before_provisioning(given: Mapping[object, object]) -> str | None:
    """The host of the service that will name the cloud's: until then there is no other."""
    credentials = given.get("credentials")
    if not isinstance(credentials, Mapping) or not isinstance(credentials.get("provisioning"), Mapping):
        return None
    service = credentials["provisioning"].get("endpoint", DPS)
    try:
        return parse_url(str(service), ("https", "http")).host
    except ValueError:  # told where addresses are checked
        return None


def _alpn_of(profile: Profile, url: str, given: Mapping[object, object]) -> str:
    """The protocol of the port; where there are several, the last is for a login with a password."""
    try:
        found = profile.protocols_of(parse_url(url, SCHEMES).port)
    except ValueError:  # told where addresses are checked
        return ""
    return found[-1 if given.get("password") else 0] if found else ""


def _keep_alive_s(profile: Profile) -> float:
    least, most = profile.limit("keep_alive_min_s"), profile.limit("keep_alive_max_s")
    return min(max(KEEP_ALIVE_S, least or 0.0), most or 65_535.0)


def host_of(endpoint: str | None, url: str) -> str:
    """The cloud's host name: that of the endpoint, else that of the address."""
    if endpoint:
        host, colon, number = endpoint.rpartition(":")
        return host if colon and number.isdigit() else endpoint
    return parse_url(url, SCHEMES).host
