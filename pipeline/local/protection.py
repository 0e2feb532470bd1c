"""What makes a local Kafka a protected one: TLS on every listener, SCRAM users, and an authorizer that denies.

Clients come in through a SASL_SSL listener with a password. The nodes among themselves, and who started them, use
listeners that ask for a certificate of the throw-away authority instead: so the first user can be made before there is
any, and no password is ever in a command line, in the formatted storage or in the nodes' settings.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # missing in its stubs only
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from pipeline.errors import ResourceError
from pipeline.local.broker import CLIENTS, CONTROLLER, NODES
from pipeline.local.certificates import Authority
from pipeline.local.launch import ASK_SECONDS, SILENT

MECHANISM: Final = "SCRAM-SHA-512"
ITERATIONS: Final = 4096
"""Kafka's default; these passwords are random and need no stretching."""
PASSWORD_BYTES: Final = 32
LOOK_SECONDS: Final = 0.02
NODE: Final = "lamppost-node"
"""Common name of the nodes' certificate, and of who started them."""
LISTENERS: Final = f"{CLIENTS}:SASL_SSL,{NODES}:SSL,{CONTROLLER}:SSL"


class Protection:
    """The authority and the users of one local Kafka; users other than the administrator may do what ACLs allow."""

    def __init__(self, administrator: str, users: Iterable[str]) -> None:
        authority = Authority()
        self.administrator = administrator
        """The user whom no ACL has to allow anything."""
        self.authority: str = authority.certificate
        """The certificate that clients trust, PEM."""
        self._node = authority.issue(NODE)
        self._passwords = {user: secrets.token_urlsafe(PASSWORD_BYTES) for user in (administrator, *users)}

    @property
    def passwords(self) -> Mapping[str, str]:
        """Password by user, the administrator first."""
        return self._passwords

    def client_properties(self, user: str) -> dict[str, str]:
        """librdkafka properties of a client that is `user`; hold its password."""
        return {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": self._passwords[user],
            "ssl.ca.pem": self.authority,
        }

    def node_properties(self) -> dict[str, str]:
        """librdkafka properties for the nodes' own listener, where a certificate stands for a password."""
        return {
            "security.protocol": "ssl",
            "ssl.ca.pem": self.authority,
            "ssl.certificate.pem": self._node.certificate,
            "ssl.key.pem": self._node.key,
        }

    def broker_settings(self) -> dict[str, str]:
        """Settings of every node, over those of ``broker.SETTINGS``; hold the nodes' private key."""
        return {
            "listener.security.protocol.map": LISTENERS,
            "inter.broker.listener.name": NODES,
            # no keystore file: certificate and key are in the settings, in a folder of this user alone
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": self._node.certificate,
            "ssl.keystore.key": self._node.key,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": self.authority,
            f"listener.name.{NODES.lower()}.ssl.client.auth": "required",
            f"listener.name.{CONTROLLER.lower()}.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.{CLIENTS.lower()}.{MECHANISM.lower()}.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            # denies what no ACL allows
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:CN={NODE};User:{self.administrator}",
        }

    def admit_users(
        self, nodes: str, addresses: Iterable[str], deadline: float, require_running: Callable[[], None]
    ) -> None:
        """Give Kafka the users' passwords and wait until every node goes by them, by `deadline` of the monotonic clock.

        `nodes` are the addresses of the nodes' own listeners, `addresses` those for clients; `require_running` raises
        if a node has ended. Raises ResourceError.
        """
        self._make_users(nodes, deadline, require_running)
        for address in addresses:
            while not self._lets_in(address):
                require_running()
                if time.monotonic() >= deadline:
                    raise ResourceError(f"the local Kafka at {address} lets no user in")
                time.sleep(LOOK_SECONDS)

    def _make_users(self, nodes: str, deadline: float, require_running: Callable[[], None]) -> None:
        admin = AdminClient({"bootstrap.servers": nodes, **self.node_properties()}, logger=SILENT)
        stretched = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        wanted: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, stretched, password.encode())
            for user, password in self._passwords.items()
        ]
        try:
            seconds = max(deadline - time.monotonic(), LOOK_SECONDS)
            made = admin.alter_user_scram_credentials(wanted, request_timeout=seconds).values()
            while futures.wait(made, LOOK_SECONDS).not_done:
                require_running()
            for each in made:
                each.result()
        except KafkaException as error:
            raise ResourceError(f"the local Kafka at {nodes} takes no users: {error}") from error

    def _lets_in(self, address: str) -> bool:
        """Whether the node at `address` has heard of the users; it hears of all at once."""
        properties = self.client_properties(self.administrator)
        admin = AdminClient({"bootstrap.servers": address, **properties}, logger=SILENT)
        try:
            return bool(admin.list_topics(timeout=ASK_SECONDS).brokers)
        except KafkaException:
            return False
