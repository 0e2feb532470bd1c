"""Settings of a protected connection: what a client gets of them, what is refused, and that no secret is shown."""

from pathlib import Path

import pytest
from resolved_settings import WriteToml, refusal

from pipeline.errors import SettingsError
from pipeline.runtime.settings import Security
from pipeline.runtime.settings_reference import as_settings_file
from pipeline.runtime.settings_sources import resolve

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.mark.parametrize("field", ["password", "key_password", "properties"])
def test_secrets_are_shown_neither_as_values_nor_in_errors(
    field: str, monkeypatch: pytest.MonkeyPatch, toml: WriteToml
) -> None:
    """Neither `lamppost settings`, nor a repr, nor a complaint holds one."""
    good = '{x = "hush"}' if field == "properties" else '"hush"'
    protected = '[kafka.security]\nprotocol = "sasl_ssl"\nmechanism = "PLAIN"\n'
    resolved = resolve(file=toml(f"{protected}{field} = {good}\n"))
    assert "hush" not in repr(resolved.rows()) + repr(resolved.settings) + resolved.settings.model_dump_json()
    monkeypatch.setenv("LAMPPOST_KAFKA__SECURITY__PROTOCOL", "sasl_ssl")
    assert "hush" not in refusal(file=toml(f"[kafka.security]\n{field} = {good}\n"))
    wrong = '{x = ["hush"]}' if field == "properties" else '["hush"]'
    message = refusal(file=toml(f"[kafka.security]\n{field} = {wrong}\n"))
    assert "hush" not in message
    assert f"kafka.security.{field}=(secret)" in message


@pytest.mark.parametrize(
    ("protocol", "unused", "wanted"),
    [
        *((protocol, name, "sasl_ssl") for protocol in ("plaintext", "ssl")
          for name in ("mechanism", "username", "password", "password_file")),
        *((protocol, name, "ssl or sasl_ssl") for protocol in ("plaintext", "sasl_plaintext")
          for name in ("ca_file", "certificate_file", "key_file", "key_password")),
    ],
)  # fmt: skip
def test_what_the_protocol_does_not_use_is_refused(protocol: str, unused: str, wanted: str, toml: WriteToml) -> None:
    """Whoever sets a password or an authority takes the connection for protected; it would be in clear."""
    lines = {"protocol": protocol, **({"mechanism": "PLAIN"} if protocol.startswith("sasl_") else {}), unused: "PLAIN"}
    text = "".join(f'{name} = "{value}"\n' for name, value in lines.items())
    message = refusal(file=toml(f"[kafka.security]\n{text}"))
    assert f"{unused} would not be used with protocol {protocol}; set protocol to {wanted}, or leave it out" in message


@pytest.mark.parametrize(("held", "password"), [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n")])
def test_one_line_end_of_a_password_file_is_cut_off(held: str, password: str, tmp_path: Path) -> None:
    """Editors add one; any other is the password's."""
    secret = tmp_path / "password"
    secret.write_text(held, encoding="utf-8", newline="")
    security = Security(protocol="sasl_ssl", mechanism="PLAIN", password_file=secret)
    assert security.client_properties()["sasl.password"] == password


def test_security_reaches_the_client_under_its_own_names(tmp_path: Path) -> None:
    """The password may lie in a file, as Kubernetes mounts it; further properties pass through."""
    secret = tmp_path / "password"
    secret.write_text("hush\n", encoding="utf-8")
    security = Security.model_validate(
        {
            "protocol": "sasl_ssl", "mechanism": "PLAIN", "username": "me", "password_file": secret,
            "properties": {"ssl.endpoint.identification.algorithm": "https"},
        }
    )  # fmt: skip
    assert security.client_properties() == {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": "hush",
        "ssl.endpoint.identification.algorithm": "https",
    }
    assert Security().client_properties() == {"security.protocol": "plaintext"}


def test_files_of_the_connection_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers do not stand where the command does; a word of librdkafka's is no path."""
    monkeypatch.chdir(tmp_path)
    found = Security(
        protocol="sasl_ssl", mechanism="PLAIN",
        password_file=Path("secret"), key_file=Path("key.pem"), ca_file=Path("probe"),
    ).with_absolute_paths()  # fmt: skip
    assert (found.password_file, found.key_file) == (tmp_path / "secret", tmp_path / "key.pem")
    assert (found.ca_file, found.certificate_file) == (Path("probe"), None)


def test_a_password_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """Reading happens when the client is made."""
    security = Security(protocol="sasl_ssl", mechanism="PLAIN", password_file=tmp_path / "none")
    with pytest.raises(SettingsError, match=r"kafka\.security\.password_file=.*none"):
        security.client_properties()


def test_the_printed_settings_file_holds_no_secret(toml: WriteToml) -> None:
    """It is meant to be shared."""
    secret = resolve(
        file=toml(
            '[kafka.security]\nprotocol = "sasl_ssl"\nmechanism = "PLAIN"\npassword = "hush"\n'
            'properties = {x = "hush"}\n'
        )
    ).settings
    assert "hush" not in as_settings_file(secret)
