"""What a cloud's console needs to know a gateway: a certificate request, and the lines that grant it the least rights.

Text to look at.  Nothing is called, and only the key and the request are written.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.commands.arrival import hall_of
from gateway.config import BrokerConfig, Config
from gateway.payload.choose import format_of, retains, with_needs_of_format
from gateway.profiles import Profile
from gateway.profiles.wire import Wire


def request_in(folder: Path, device: str) -> tuple[Path, Path, bool]:
    """Key and certificate request of a device, in files.  A key that is there stays.

    Returns the paths of key and request, and whether the key is new.  Raises `OSError`, and `ValueError` for a key that
    cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key_path, request_path = folder / f"{device}.key", folder / f"{device}.csr"
    is_new = not key_path.exists()
    if is_new:
        key = ec.generate_private_key(ec.SECP256R1())
        plain = serialization.NoEncryption()
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
    loaded = serialization.load_pem_private_key(key_path.read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError(  # noqa: TRY004 - a key of another kind, in a file
            f"{key_path} is no key on an elliptic curve"
        )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(loaded, hashes.SHA256())
    request_path.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return key_path, request_path, is_new


def topics_of(config: Config, broker: BrokerConfig, device: str, wildcard: str) -> list[str]:
    """The topics that the gateway publishes to at the cloud, with a wildcard for each field."""
    profile = broker.table
    assert profile is not None, "only a broker with a profile is enrolled"
    payload = config.routes[broker.name].payload
    wire = Wire(profile, broker.who(device), with_needs_of_format(broker, payload).wire_topic)
    templates = [payload.topic, format_of(payload).longest_topic(payload.topic, payload, False)]
    if any(selection.events is not None for source in config.sources for selection in source.select):
        templates.append(payload.topic_of_events)
    found = [re.sub(r"\{[^{}]*\}", wildcard, wire.topic_of(each)) for each in templates]
    found.append(wire.topic_of(payload.losses_topic(config.name)))
    own = []
    if broker.presence.topic is not None:
        own.append(broker.presence.topic.replace("{gateway}", config.name))
    return list(dict.fromkeys([*found, *(wire.topic_of(each, has_values=False) for each in own)]))


def commands_of(config: Config, broker: BrokerConfig, device: str) -> tuple[list[str], list[str]]:
    """Filters of the topics of commands, and where answers go (`*` for what differs); empty without commands."""
    commands = config.commands
    if commands is None or (commands.brokers is not None and broker.name not in commands.brokers):
        return [], []
    who = broker.who(device)
    hall = hall_of(config.name, commands, things={broker.name: {"thing": who.device, "product": who.product}})
    listened = hall.listenings_at(broker.name)
    homes = [re.sub(r"\{[^{}]*\}", "*", each.replies.replace("{gateway}", config.name)) for each in listened]
    asked = [topic.replace("{thing}", who.device) for each in listened for topic, _ in each.codec.asks]
    answers = [f"{home}/*" for home in homes]
    return list(hall.filters(broker.name)), list(dict.fromkeys([*homes, *answers, *asked]))


def lines_for(config: Config, broker: BrokerConfig, device: str, request: Path) -> list[str]:
    """What to do at the cloud, as lines for its command line or console."""
    profile = broker.table
    assert profile is not None, "only a broker with a profile is enrolled"
    made = _LINES.get(profile.name, _any)
    return made(config, broker, profile, device, request)


def _aws(config: Config, broker: BrokerConfig, profile: Profile, device: str, request: Path) -> list[str]:
    arn = "arn:aws:iot:REGION:ACCOUNT:"
    topics = [f"{arn}topic/{topic}" for topic in topics_of(config, broker, device, "*")]
    actions = ["iot:Publish", *(["iot:RetainPublish"] if retains(config) or broker.presence.topic else [])]
    heard, answered = commands_of(config, broker, device)
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}client/{device}"},
        {"Effect": "Allow", "Action": actions, "Resource": topics},
    ]
    if heard:
        came = [f"{arn}topic/{topic.replace('+', '*')}" for topic in heard]
        statements += [
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": [f"{arn}topicfilter/{each}" for each in heard]},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": came},
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": [f"{arn}topic/{each}" for each in answered]},
        ]
    policy: Mapping[str, object] = {"Version": "2012-10-17", "Statement": statements}
    return [
        "# policy.json",
        *json.dumps(policy, indent=2).splitlines(),
        "",
        f"aws iot create-thing --thing-name {device}",
        f"aws iot create-policy --policy-name {device} --policy-document file://policy.json",
        f"aws iot create-certificate-from-csr --set-as-active --certificate-signing-request file://{request} \\",
        f"  --certificate-pem-outfile {request.with_suffix('.pem')} --query certificateArn --output text",
        f"aws iot attach-policy --policy-name {device} --target CERTIFICATE_ARN",
        f"aws iot attach-thing-principal --thing-name {device} --principal CERTIFICATE_ARN",
    ]


def _iot_hub(config: Config, broker: BrokerConfig, profile: Profile, device: str, request: Path) -> list[str]:
    hub = broker.who(device).host.split(".")[0]
    create = f"az iot hub device-identity create --hub-name {hub} --device-id {device}"
    return [
        "# with a key: it goes into the file or variable of credentials.key",
        create,
        f"az iot hub device-identity show --hub-name {hub} --device-id {device} \\",
        "  --query authentication.symmetricKey.primaryKey --output tsv",
        "",
        f"# with a certificate of an authority that the hub knows, made from {request}",
        f"{create} --auth-method x509_ca",
    ]


def _event_grid(config: Config, broker: BrokerConfig, profile: Profile, device: str, request: Path) -> list[str]:
    name = broker.who(device).host.split(".")[0]
    where = f"--namespace-name {name} --resource-group GROUP"
    templates = " ".join(f"'{topic}'" for topic in topics_of(config, broker, device, "+"))
    return [
        f"az eventgrid namespace client create {where} --client-name {device} --authentication-name {device} \\",
        '  --attributes \'{"kind": "gateway"}\' \\',
        '  --client-certificate-authentication \'{"validationScheme": "SubjectMatchesAuthenticationName"}\'',
        f"az eventgrid namespace client-group create {where} --client-group-name gateways --group-query \\",
        "  \"attributes.kind = 'gateway'\"",
        f"az eventgrid namespace topic-space create {where} --name factory --topic-templates {templates}",
        f"az eventgrid namespace permission-binding create {where} --name gateways-publish \\",
        "  --client-group-name gateways --permission publisher --topic-space-name factory",
    ]


def _huawei(config: Config, broker: BrokerConfig, profile: Profile, device: str, request: Path) -> list[str]:
    body = {"device_id": device, "node_id": device.rpartition("_")[2], "product_id": "PRODUCT_ID"}
    return [
        "# POST /v5/iot/PROJECT_ID/devices; its answer has the secret for credentials.key",
        *json.dumps(body, indent=2).splitlines(),
        "",
        '# every topic of the gateway is a sub-device: the same with "gateway_id", and the topic with _ for / as id',
    ]


def _any(config: Config, broker: BrokerConfig, profile: Profile, device: str, request: Path) -> list[str]:
    if broker.credentials is not None:
        return [f"Create the device {device!r} in the console of {profile.title}; its key goes into credentials.key."]
    return [
        f"Let the authority that {profile.title} trusts sign {request}, and allow the client {device!r} to publish to:",
        *(f"  {topic}" for topic in topics_of(config, broker, device, "+")),
    ]


_LINES: Mapping[str, Callable[[Config, BrokerConfig, Profile, str, Path], list[str]]] = {
    "aws-iot-core": _aws, "azure-iot-hub": _iot_hub, "azure-event-grid": _event_grid, "huawei-iotda": _huawei,
}  # fmt: skip
