"""What a protected local Kafka is started with, and the files that its roles get."""

import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.local import broker
from pipeline.local.broker import Place
from pipeline.local.certificates import Authority, Identity
from pipeline.local.protection import NODE, Protection
from pipeline.runtime.role_files import RoleFiles
from pipeline.runtime.settings_sources import resolve


def test_certificates_are_for_loopback_and_signed_by_the_authority() -> None:
    """A broker's name is checked by every client."""
    authority = Authority()
    issued = authority.issue("somebody")
    own = x509.load_pem_x509_certificate(issued.certificate.encode())
    signer = x509.load_pem_x509_certificate(authority.certificate.encode())
    own.verify_directly_issued_by(signer)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert own.subject.rfc4514_string() == "CN=somebody"
    assert load_pem_private_key(issued.key.encode(), None).public_key() == own.public_key()
    assert signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_two_authorities_do_not_stand_in_for_each_other() -> None:
    """Each Kafka has one of its own."""
    own = x509.load_pem_x509_certificate(Authority().issue("somebody").certificate.encode())
    other = x509.load_pem_x509_certificate(Authority().certificate.encode())
    with pytest.raises((InvalidSignature, ValueError)):
        own.verify_directly_issued_by(other)


def test_a_key_is_not_shown() -> None:
    """Not even where an object is printed."""
    assert "PRIVATE" not in repr(Identity("certificate", "-----BEGIN PRIVATE KEY-----"))


def test_every_listener_of_a_protected_node_asks_who_is_there() -> None:
    """Clients for a password, nodes and controllers for a certificate; nothing is open besides."""
    place = Place(1, 1111, 2222, 3333)
    text = broker.properties(place, [place], Path("/data"), Protection("admin", ["camera"]).broker_settings())
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["listeners"] == (
        "CLIENTS://127.0.0.1:1111,NODES://127.0.0.1:3333,CONTROLLER://127.0.0.1:2222"
    )  # fmt: skip
    assert settings["advertised.listeners"] == settings["listeners"]
    assert settings["listener.security.protocol.map"] == "CLIENTS:SASL_SSL,NODES:SSL,CONTROLLER:SSL"
    assert settings["inter.broker.listener.name"] == "NODES"
    assert settings["listener.name.nodes.ssl.client.auth"] == "required"
    assert settings["listener.name.controller.ssl.client.auth"] == "required"
    assert settings["super.users"] == f"User:CN={NODE};User:admin"
    assert settings["ssl.keystore.key"].startswith("-----BEGIN PRIVATE KEY-----\\n")


def test_no_password_is_in_the_settings_of_the_nodes_and_each_user_has_its_own() -> None:
    """They reach Kafka over a connection."""
    protection = Protection("admin", ["camera", "worker"])
    settings = str(protection.broker_settings())
    assert list(protection.passwords) == ["admin", "camera", "worker"]
    assert len(set(protection.passwords.values())) == 3
    assert not any(password in settings for password in protection.passwords.values())
    assert protection.client_properties("camera")["sasl.password"] == protection.passwords["camera"]
    assert not any(password in repr(protection) for password in protection.passwords.values())


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_role_files_are_settings_of_this_user_alone_and_go_with_the_block(tmp_path: Path) -> None:
    """What `--settings` takes: every value is right where a path has quotes and blanks."""
    folder = tmp_path / 'a "b" c'
    protection = Protection("admin", ["camera"])
    with RoleFiles(folder) as files:
        written = files.write("127.0.0.1:1,127.0.0.1:2", protection)
        assert [file.name for file in written] == ["admin.toml", "camera.toml"]
        assert (modes(folder), stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)
        kafka = resolve(file=folder / "camera.toml").settings.kafka
        assert kafka.brokers == "127.0.0.1:1,127.0.0.1:2"
        properties = kafka.security.client_properties()
        assert properties.pop("ssl.ca.location") == str(folder / "ca.pem")
        assert (folder / "ca.pem").read_text() == protection.authority
        expected = protection.client_properties("camera")
        del expected["ssl.ca.pem"]
        assert properties == expected
        assert protection.passwords["camera"] not in (folder / "camera.toml").read_text()
    assert list(tmp_path.iterdir()) == []


def test_role_files_replace_what_was_there_and_leave_what_is_others(tmp_path: Path) -> None:
    """A file that everybody may read would stay so, and a link would lead a password elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "camera.password").symlink_to(elsewhere)
    (folder / "camera.toml").write_text("old")
    (folder / "camera.toml").chmod(0o644)
    (folder / "notes").write_text("mine")
    (folder / "notes").chmod(0o600)
    with RoleFiles(folder) as files:
        files.write("127.0.0.1:1", Protection("admin", ["camera"]))
        assert modes(folder) == {0o600}
        assert elsewhere.read_text() == "mine"
    assert [file.name for file in folder.iterdir()] == ["notes"]
