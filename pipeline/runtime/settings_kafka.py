"""Settings of the connection to Kafka."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from pipeline.errors import SettingsError
from pipeline.runtime.settings_section import Count, Names, Section

CA_PROBE: Final = Path("probe")
"""As `ca_file`, has librdkafka look in the places where systems keep certificates."""
CREDENTIALS: Final = ("mechanism", "username", "password", "password_file")
"""Settings that only a protocol with SASL uses."""
CERTIFICATES: Final = ("ca_file", "certificate_file", "key_file", "key_password")
"""Settings that only a protocol with TLS uses."""


class Security(Section):
    """How to speak to a protected Kafka; every value reaches librdkafka as it is."""

    protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    """Encryption and authentication of the connection."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = None
    """SASL mechanism; needed with the sasl_ protocols."""
    username: str | None = None
    """SASL user."""
    password: SecretStr | None = None
    """SASL password; `password_file` keeps it out of the environment."""
    password_file: Path | None = None
    """File that holds the SASL password; a last line end is cut off."""
    ca_file: Path | None = None
    """PEM certificates of the authorities that sign the brokers' certificates; None: the system's."""
    certificate_file: Path | None = None
    """PEM client certificate."""
    key_file: Path | None = None
    """PEM private key of the client certificate."""
    key_password: SecretStr | None = None
    """Password of `key_file`."""
    properties: dict[str, SecretStr] = Field(default_factory=dict)
    """Further librdkafka client properties; as a JSON object in the environment. Never shown."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.protocol.startswith("sasl_") and self.mechanism is None:
            raise ValueError(
                f"mechanism is needed with protocol {self.protocol}; set it, for instance to SCRAM-SHA-512"
            )
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both set; keep one of them")
        # with another protocol the client would leave them out, and say nothing while all of it goes in clear
        self._refuse_unused(CREDENTIALS, self.protocol.startswith("sasl_"), "sasl_ssl")
        self._refuse_unused(CERTIFICATES, self.protocol in ("ssl", "sasl_ssl"), "ssl or sasl_ssl")
        return self

    def _refuse_unused(self, names: tuple[str, ...], used: bool, protocol: str) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if given and not used:
            raise ValueError(
                f"{', '.join(given)} would not be used with protocol {self.protocol}; set protocol to {protocol}, "
                f"or leave {'it' if len(given) == 1 else 'them'} out"
            )

    def with_absolute_paths(self) -> Self:
        """With the paths of its files absolute: processes of a run have other working folders."""
        fields = ("password_file", "ca_file", "certificate_file", "key_file")
        paths = {name: getattr(self, name) for name in fields}
        return self.model_copy(
            update={name: path.absolute() for name, path in paths.items() if path not in (None, CA_PROBE)}
        )

    def client_properties(self) -> dict[str, str]:
        """Properties for librdkafka, secrets in clear; reads `password_file` and raises SettingsError if it can't."""
        said = {
            "security.protocol": self.protocol,
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.username,
            "sasl.password": self._read_password(),
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
            "ssl.key.password": None if self.key_password is None else self.key_password.get_secret_value(),
        }
        chosen = {name: str(value) for name, value in said.items() if value is not None}
        return chosen | {name: value.get_secret_value() for name, value in self.properties.items()}

    def _read_password(self) -> str | None:
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").removesuffix("\n")  # which \r\n is read as
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"kafka.security.password_file={self.password_file} cannot be read ({error}); "
                f"name a readable text file that holds the password"
            ) from error


def _principals(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        kind, _, who = name.partition(":")
        if not kind or not who:
            raise ValueError(f"{name!r} is no principal; write User:NAME (in a file as a list, if a name has a comma)")
        if who == "*":
            raise ValueError(f"{name} is everybody, whom no role is for; name the principals")
    return names


Principals = Annotated[Names, AfterValidator(_principals)]


class Acls(Section):
    """Whom `lamppost topics create --acls` allows what the roles need; commas between principals."""

    camera: Principals = ("User:camera",)
    """Principals of `lamppost cameras`."""
    worker: Principals = ("User:worker",)
    """Principals of `lamppost run`."""
    enroller: Principals = ("User:enroller",)
    """Principals of `lamppost watchlist`."""
    console: Principals = ("User:console",)
    """Principals of those who watch the alerts."""
    auditor: Principals = ("User:auditor",)
    """Principals of those who check custody and settings."""
    prefix: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """How groups and run names of workers begin; None: the group that is set, and the run that is set or names made."""


def _one_or_three(nodes: int) -> int:
    if nodes not in (1, 3):
        raise ValueError("should be 1 or 3; of two nodes, as of one, none can be lost")
    return nodes


Nodes = Annotated[int, AfterValidator(_one_or_three)]


class Kafka(Section):
    """Which Kafka, and how to speak to it."""

    brokers: str | None = None
    """Bootstrap addresses, host:port with commas between them; None: start a local Kafka."""
    nodes: Nodes = 1
    """Nodes of a local Kafka, 1 or 3; of three each has every record, and one may be lost. Not used with `brokers`."""
    group_protocol: Literal["consumer", "classic"] = "consumer"
    """Group protocol; `classic` for brokers older than 4.0."""
    replication: Count | None = None
    """Replicas of each topic that Lamppost creates; None: three, or as many as there are brokers if these are fewer."""
    transaction_timeout_seconds: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = 10.0
    """How long a transaction of a dead worker may hold up readers, at most."""
    security: Security = Security()
    acls: Acls = Acls()

    @field_validator("brokers", mode="before")
    @classmethod
    def _joined(cls, brokers: object) -> object:
        """A file may hold a list, as for other settings of several values."""
        several = isinstance(brokers, list) and all(isinstance(each, str) for each in brokers)
        return ",".join(brokers) if several and isinstance(brokers, list) else brokers

    @field_validator("brokers")
    @classmethod
    def _addresses(cls, brokers: str | None) -> str | None:
        for address in [] if brokers is None else brokers.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"{address.strip()!r} is no HOST:PORT; write for instance kafka:9092")
        return brokers
