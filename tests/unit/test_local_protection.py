"""What a protected local Kafka is started with, and the files that its roles get."""

import errno
import ipaddress
import shutil
import stat
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.errors import InputError, ResourceError
from pipeline.local import broker, protection
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
    protected = Protection("admin", ["camera", "worker"])
    settings = str(protected.broker_settings())
    assert list(protected.passwords) == ["admin", "camera", "worker"]
    assert len(set(protected.passwords.values())) == 3
    assert not any(password in settings for password in protected.passwords.values())
    assert protected.client_properties("camera")["sasl.password"] == protected.passwords["camera"]
    assert not any(password in repr(protected) for password in protected.passwords.values())


class SilentAdmin:
    """A client whose question nobody answers."""

    timeouts: ClassVar[list[float]] = []

    def __init__(self, *_: object, **__: object) -> None: ...

    def alter_user_scram_credentials(self, wanted: list[Any], *, request_timeout: float) -> dict[str, Future[None]]:
        self.timeouts.append(request_timeout)
        return {each.user: Future() for each in wanted}


def test_making_users_keeps_to_the_deadline_and_notices_a_node_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own time-out is a minute, which the start may not have left."""
    monkeypatch.setattr(protection, "AdminClient", SilentAdmin)
    looks = iter([True, True, False])

    def require_running() -> None:
        if not next(looks):
            raise ResourceError("the local Kafka ended")

    with pytest.raises(ResourceError, match="the local Kafka ended"):
        Protection("admin", []).admit_users("n:1", ["a:1"], time.monotonic() + 5.0, require_running)
    (timeout,) = SilentAdmin.timeouts
    assert 0.0 < timeout <= 5.0


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_role_files_are_settings_of_this_user_alone_and_go_with_the_block(tmp_path: Path) -> None:
    """What `--settings` takes: every value is right where a path has quotes and blanks."""
    folder = tmp_path / 'a "b" c'
    protected = Protection("admin", ["camera"])
    with RoleFiles(folder, protected) as files:
        written = files.write("127.0.0.1:1,127.0.0.1:2")
        assert [file.name for file in written] == ["admin.toml", "camera.toml"]
        assert (modes(folder), stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)
        kafka = resolve(file=folder / "camera.toml").settings.kafka
        assert kafka.brokers == "127.0.0.1:1,127.0.0.1:2"
        properties = kafka.security.client_properties()
        assert properties.pop("ssl.ca.location") == str(folder / "ca.pem")
        assert (folder / "ca.pem").read_text() == protected.authority
        expected = protected.client_properties("camera")
        del expected["ssl.ca.pem"]
        assert properties == expected
        assert protected.passwords["camera"] not in (folder / "camera.toml").read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that is there, with something of the user's."""
    made = tmp_path / "keys"
    made.mkdir(mode=0o700)
    (made / "notes").write_text("mine")
    return made


def content(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def role_files(folder: Path) -> RoleFiles:
    return RoleFiles(folder, Protection("admin", ["camera"]))


@pytest.mark.parametrize("name", ["ca.pem", "camera.toml", "admin.password", ".gitignore"])
def test_a_file_of_the_users_own_is_neither_replaced_nor_removed(folder: Path, name: str) -> None:
    """It is named before a Kafka is started, and what was there is all that is there then."""
    (folder / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name} is there and is not this command's; name another folder"):
        role_files(folder).__enter__()
    assert content(folder) == {"notes": "mine", name: "mine"}


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """It would lead a password elsewhere."""
    (folder / "camera.password").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"camera\.password is there"):
        role_files(folder).__enter__()
    assert not (tmp_path / "elsewhere").exists()


def test_what_a_killed_command_left_is_replaced(folder: Path) -> None:
    """Whose lock is gone with it; modes of before are not kept."""
    with role_files(folder) as files:
        files.write("127.0.0.1:1")
        left = content(folder)
    for name, text in left.items():
        (folder / name).write_text(text)
    (folder / "camera.password").chmod(0o644)
    with role_files(folder) as files:
        files.write("127.0.0.1:2")
        assert content(folder)["camera.password"] != left["camera.password"]
        assert stat.S_IMODE((folder / "camera.password").stat().st_mode) == 0o600
    assert content(folder) == {"notes": "mine"}


def test_two_commands_do_not_share_a_folder(folder: Path) -> None:
    """The second is refused, and the first keeps its files."""
    with role_files(folder) as files:
        files.write("127.0.0.1:1")
        held = content(folder)
        with pytest.raises(InputError, match="another `lamppost kafka start --secured` that runs"):
            role_files(folder).__enter__()
        assert content(folder) == held
    assert content(folder) == {"notes": "mine"}


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_to_is_refused(folder: Path, mode: int) -> None:
    """They could put an authority of theirs in the place of the one that is written."""
    folder.chmod(mode)
    with pytest.raises(InputError, match="may be written to by others"):
        role_files(folder).__enter__()
    assert content(folder) == {"notes": "mine"}


def test_version_control_leaves_the_passwords_out(folder: Path) -> None:
    """While they are there."""
    with role_files(folder):
        assert "*" in (folder / ".gitignore").read_text().splitlines()


def test_only_what_was_written_is_removed(folder: Path) -> None:
    """A file that has taken the name of one that was written is somebody's."""
    with role_files(folder) as files:
        files.write("127.0.0.1:1")
        (folder / "new").write_text("mine")
        (folder / "new").rename(folder / "ca.pem")
    assert content(folder) == {"notes": "mine", "ca.pem": "mine"}


def test_a_folder_that_is_removed_by_hand_is_no_error_at_the_end(tmp_path: Path) -> None:
    """Nothing is left to remove."""
    with role_files(tmp_path / "keys") as files:
        files.write("127.0.0.1:1")
        shutil.rmtree(tmp_path / "keys")
    assert list(tmp_path.iterdir()) == []


def test_one_file_that_cannot_be_removed_does_not_keep_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is told."""
    unlink = Path.unlink

    def stuck(file: Path, *, missing_ok: bool = False) -> None:
        if file.name == "camera.toml":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(file))
        unlink(file, missing_ok)

    with pytest.raises(PermissionError), role_files(folder) as files:
        files.write("127.0.0.1:1")
        monkeypatch.setattr(Path, "unlink", stuck)
    assert list(content(folder)) in (["notes", "camera.toml"], ["camera.toml", "notes"])
