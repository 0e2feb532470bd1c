"""A Kafka with TLS, passwords and ACLs, its topics, and a settings file for each role."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.catalog.roles import ADMINISTRATOR, ROLES
from pipeline.local.kafka import LocalKafka
from pipeline.local.protection import Protection
from pipeline.runtime.acls import Allowance
from pipeline.runtime.acls import create as create_acls
from pipeline.runtime.connections import connection_of
from pipeline.runtime.role_files import RoleFiles
from pipeline.runtime.settings import Settings
from pipeline.runtime.settings_sources import resolve
from pipeline.runtime.topics import create as create_topics
from pipeline.streams.client import Connection

ANSWER_SECONDS = 20.0
BOUND_SECONDS = 30.0
"""In which a connection that cannot work has ended with its line, on a busy machine."""


@dataclass(frozen=True)
class Protected:
    """A protected Kafka with its topics and ACLs, and a settings file for each role."""

    kafka: LocalKafka
    protection: Protection
    folder: Path
    first: list[Allowance]
    """What making the ACLs for the first time said."""

    def file(self, role: str) -> str:
        return str(self.folder / f"{role}.toml")

    def settings(self, role: str) -> Settings:
        return resolve(file=self.folder / f"{role}.toml").settings

    def connection(self, role: str) -> Connection:
        return connection_of(self.settings(role))

    def client(self, role: str, **more: Any) -> dict[str, Any]:
        """Properties for a client of confluent-kafka's own, without anything of Lamppost between."""
        return {"bootstrap.servers": self.kafka.address, **self.protection.client_properties(role), **more}


@contextmanager
def protected_kafka(folder: Path) -> Iterator[Protected]:
    """One with every role; its keys and settings files lie in `folder` while it runs."""
    protection = Protection(ADMINISTRATOR, [role.name for role in ROLES])
    with RoleFiles(folder, protection) as files, LocalKafka(protection=protection) as kafka:
        files.write(kafka.address)
        administrator = resolve(file=folder / f"{ADMINISTRATOR}.toml").settings
        first = create_acls(administrator)
        create_topics(administrator)
        yield Protected(kafka, protection, folder, first)
