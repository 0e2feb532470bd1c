"""Access control lists on Kafka: what is allowed to whom, and allowing more."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # missing in its stubs only
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from pipeline.catalog.roles import Kind, Operation
from pipeline.errors import BrokerError
from pipeline.streams.client import Connection, Notices, broker_error

ASK_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.05
CLUSTER: Final = "kafka-cluster"
"""What Kafka calls its one resource of the kind cluster."""
ANY_HOST: Final = "*"

_KINDS: Final[Mapping[Kind, ResourceType]] = {
    Kind.TOPIC: ResourceType.TOPIC,
    Kind.GROUP: ResourceType.GROUP,
    Kind.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    Kind.CLUSTER: ResourceType.BROKER,  # librdkafka's word for it
}
_OPERATIONS: Final[Mapping[Operation, AclOperation]] = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.DESCRIBE: AclOperation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
}
_OUR_KINDS: Final[Mapping[ResourceType, Kind | str]] = {theirs: ours for ours, theirs in _KINDS.items()}
_OUR_OPERATIONS: Final[Mapping[AclOperation, Operation | str]] = {theirs: ours for ours, theirs in _OPERATIONS.items()}


@dataclass(frozen=True, slots=True)
class Acl:
    """That `principal` may do `operation` on a resource."""

    principal: str
    """Type and name, as in ``User:camera``."""
    kind: Kind | str
    """One of another kind than the catalogue's, as Kafka has it, is in Kafka's word."""
    name: str
    operation: Operation | str
    """As `kind`."""
    prefixed: bool = False
    """Whether `name` is how names begin."""
    host: str = ANY_HOST

    def __str__(self) -> str:
        """As in ``User:camera may write topic frames``."""
        what = str(self.kind) if self.kind is Kind.CLUSTER else f"{self.kind} {self.name}{'…' if self.prefixed else ''}"
        return f"{self.principal} may {self.operation} {what}{'' if self.host == ANY_HOST else f' from {self.host}'}"


class AclAdmin:
    """Lists and makes ACLs; every call raises BrokerError if Kafka does not answer, refuses, or has no authorizer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._notices = Notices()
        self._admin = connection.open(AdminClient, self._notices, {})

    def allowed(self) -> list[Acl]:
        """Everything that anybody is allowed; what is denied is left out."""
        return _allowed(self._bindings())

    def allow(self, acls: Sequence[Acl]) -> None:
        """Make `acls`, and wait until a broker that is asked goes by them; the client chooses which, and others follow.

        A broker hears of new ACLs after the answer that they are made.
        """
        if not acls:
            return
        wanted = [_binding(acl) for acl in acls]
        for answer in self._admin.create_acls(wanted, request_timeout=ASK_SECONDS).values():
            try:
                answer.result()
            except KafkaException as error:
                raise self._error("making ACLs", error) from error
        until = time.monotonic() + ASK_SECONDS
        while missing := set(acls).difference(_allowed(self._bindings())):
            if time.monotonic() >= until:
                raise BrokerError(f"Kafka at {self._connection.brokers}: made but not in force: {missing.pop()}")
            self._admin.poll(RETRY_SECONDS)

    def _bindings(self) -> list[AclBinding]:
        try:
            found: list[AclBinding] = self._admin.describe_acls(_EVERY, request_timeout=ASK_SECONDS).result()
        except KafkaException as error:
            raise self._error("reading ACLs", error) from error
        return found

    def _error(self, doing: str, error: KafkaException) -> BrokerError:
        if error.args[0].code() == KafkaError.SECURITY_DISABLED:
            return BrokerError(
                f"Kafka at {self._connection.brokers} has no authorizer, so whatever ACLs say, everybody may do "
                f"everything; set authorizer.class.name in the settings of its brokers and controllers"
            )
        self._admin.poll(0)
        return broker_error(self._connection.brokers, doing, error, self._notices.cause())


_ANY: Any = None  # any name, principal and host; the client's annotations know only text
_EVERY: Final = AclBindingFilter(
    ResourceType.ANY, _ANY, ResourcePatternType.ANY, _ANY, _ANY, AclOperation.ANY, AclPermissionType.ANY
)


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        _KINDS[Kind(acl.kind)],
        acl.name,
        ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
        acl.principal,
        acl.host,
        _OPERATIONS[Operation(acl.operation)],
        AclPermissionType.ALLOW,
    )


def _allowed(bindings: Iterable[Any]) -> list[Acl]:
    return [
        Acl(
            each.principal,
            _OUR_KINDS.get(each.restype, each.restype.name.lower()),
            each.name,
            _OUR_OPERATIONS.get(each.operation, each.operation.name.lower()),
            each.resource_pattern_type is ResourcePatternType.PREFIXED,
            each.host,
        )
        for each in bindings
        if each.permission_type is AclPermissionType.ALLOW
    ]
