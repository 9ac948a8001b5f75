"""Files of the test server: each mistake has its place, and nothing is half done; certificates by command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from simulators.errors import ConfigError
from simulators.server import certificates, nodesets
from simulators.server.nodesets import check_nodeset
from simulators.server.pki import observers_of, own_certificate, users_of
from simulators.trial import load_folder, load_trial

HEAD = '<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">\n'
NODE = '<UAObject NodeId="ns=1;i=1" BrowseName="1:A"/>\n'
BROKEN_SETS = {
    "not well-formed": (HEAD + "<UAObject", ":2: not well-formed"),
    "another kind": ("<html/>", ":1: no UANodeSet, but html"),
    "entities": ('<!DOCTYPE x [<!ENTITY a "b">]>\n' + HEAD + "</UANodeSet>", ":1: a NodeSet has no DOCTYPE"),
    "no nodes": (HEAD + "</UANodeSet>", "no nodes"),
    "a node twice": (HEAD + NODE + NODE + "</UANodeSet>", ":3: the node ns=1;i=1 is there twice: first in line 2"),
    "no node id": (HEAD + '<UAObject NodeId="x" BrowseName="A"/></UANodeSet>', ":2: 'x' is no node id"),
    "a parent that is nowhere": (
        HEAD + NODE + '<UAObject NodeId="ns=1;i=2" BrowseName="1:B" ParentNodeId="ns=1;i=9"/></UANodeSet>',
        ":3: the parent ns=1;i=9 is nowhere",
    ),
    "too many nodes": (HEAD + NODE + '<UAObject NodeId="i=2" BrowseName="B"/></UANodeSet>', ":3: more than 1 nodes"),
    "too large": (HEAD + "<!-- " + "x" * 300 + " -->" + NODE + "</UANodeSet>", "MB; at most"),
}


@pytest.mark.parametrize("name", BROKEN_SETS)
def test_a_broken_or_huge_nodeset_is_refused_with_its_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, told = BROKEN_SETS[name]
    path = tmp_path / "set.xml"
    path.write_text(text, encoding="utf-8")
    if name == "too many nodes":
        monkeypatch.setattr(nodesets, "MOST_NODES", 1)
    if name == "too large":
        monkeypatch.setattr(nodesets, "MOST_BYTES", 300)
    with pytest.raises(ConfigError) as caught:
        check_nodeset(path)
    assert all(problem.startswith(str(path)) for problem in caught.value.problems)
    assert told in "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([{"NodeId": 1, "DataType": "Number"}], "NodeList[0].DataType: unknown type 'Number'"),
        ([{"NodeId": 1}, {"NodeId": 1}], "NodeList[1].NodeId: the node id 1 is taken"),
        ([{"NodeId": 1, "Value": "x"}], "NodeList[0].Value: is no Int32"),
        ([{"NodeId": 1, "ValueRank": 1, "Value": 5}], "is no Int32 array"),
        ([{"NodeId": 1, "Colour": "red"}], "Colour"),
        ([{"Name": "x"}], "NodeId"),
    ],
)
def test_a_mistake_in_a_json_file_has_its_place(nodes: object, told: str, tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"Folder": "F", "NodeList": nodes}), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_folder(path)
    assert caught.value.problems[0].startswith(f"{path}:1:")
    assert told in "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slow: {nodes: -1}", "slow.nodes"), ("fast: {low: 5, high: 5}", "high must be above low"),
        ("fast: {type: int16, high: 40000}", "must fit into int16"), ("nodesets: [none.xml]", "there is no file"),
        ("colour: red", "colour"), ("payloads: [99999]", "payloads"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_of_a_test_server_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "test-server.yaml"
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=str(path)) as caught:
        load_trial(path)
    assert told in "\n".join(caught.value.problems)


def test_users_have_passwords_and_roles(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("ann: 'x'\nbob: {password: 'y', role: observer}\n", encoding="utf-8")
    assert users_of(path) == {"ann": "x", "bob": "y"}
    assert observers_of(path) == {"bob"}
    path.write_text("ann: {password: 'x', role: king}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="operator or observer"):
        users_of(path)


def test_certificates_are_requested_trusted_and_revoked(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    own, _ = own_certificate(pki, "urn:x")
    asked = x509.load_pem_x509_csr(certificates.request(pki, "urn:x").read_bytes())
    assert asked.is_signature_valid
    assert "urn:x" in str(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    signed = builder.subject_name(asked.subject).public_key(asked.public_key()).sign(key, hashes.SHA256())
    authority = builder.subject_name(name).public_key(key.public_key()).sign(key, hashes.SHA256())
    file, foreign = tmp_path / "signed.pem", tmp_path / "authority.der"
    file.write_bytes(signed.public_bytes(Encoding.PEM))
    foreign.write_bytes(authority.public_bytes(Encoding.DER))
    certificates.install(pki, file)
    assert certificates.read_certificate(own) == signed
    with pytest.raises(ConfigError, match="is not for the key"):
        certificates.install(pki, foreign)

    crl = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(now).next_update(now + timedelta(1))
    listed = tmp_path / "list.der"
    listed.write_bytes(crl.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    with pytest.raises(ConfigError, match="has signed it"):
        certificates.revocation_list(pki, listed)
    trusted = certificates.trust(pki, foreign)
    assert certificates.revocation_list(pki, listed).is_file()
    kept = certificates.revoke(pki, foreign)
    assert (trusted.exists(), kept.exists()) == (False, True)
    with pytest.raises(ConfigError, match="is not in"):
        certificates.revoke(pki, foreign)
    with pytest.raises(ConfigError, match="no certificate"):
        certificates.trust(pki, listed)
