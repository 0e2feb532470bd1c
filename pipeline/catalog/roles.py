"""Who does what on Kafka, and the least that each has to be allowed for it."""

from enum import StrEnum
from typing import Final

import msgspec

from pipeline.catalog.topics import ALERTS, CUSTODY, DEAD_LETTERS, FRAMES, WATCHLIST

READER_GROUP: Final = "lamppost-reader"
"""Group that readers outside any group name: librdkafka wants one and looks for its coordinator; nothing joins it."""
WORKER_IDS: Final = ".worker-"
"""Stands between the name of a run and the number of a worker slot in a transactional id."""
MADE_NAMES: Final = "run-"
"""How the name of a run begins if it is made and not given."""


class Kind(StrEnum):
    """What can be allowed something on."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional id"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What can be allowed, in Kafka's words; reading and writing include to describe."""

    READ = "read"
    WRITE = "write"
    DESCRIBE = "describe"
    DESCRIBE_CONFIGS = "describe configs of"


class Right(msgspec.Struct, frozen=True):
    """Operations on one resource.

    ``name`` None means the group or the transactional ids of the run that is set, and of the cluster the only one.
    """

    kind: Kind
    name: str | None
    operations: tuple[Operation, ...]
    why: str


class Role(msgspec.Struct, frozen=True):
    """One kind of client; ``name`` is also its principal's by default."""

    name: str
    purpose: str
    rights: tuple[Right, ...]


_R, _W, _D, _C = Operation.READ, Operation.WRITE, Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS
_READS_WITHOUT_GROUP: Final = Right(Kind.GROUP, READER_GROUP, (_D,), "the client of a reader looks for a coordinator")

CAMERA: Final = Role(
    "camera",
    "`lamppost cameras`: publishes frames and reads nothing",
    (Right(Kind.TOPIC, FRAMES, (_W,), "publish frames; that covers the idempotent producer since Kafka 2.8"),),
)
WORKER: Final = Role(
    "worker",
    "`lamppost run`: the command, its workers, its shards and its supervisor",
    (
        Right(Kind.TOPIC, FRAMES, (_R, _C), "consume frames; look at the topic before the start"),
        Right(Kind.TOPIC, WATCHLIST, (_R, _W, _C), "shards follow it; the supervisor's heartbeat keeps it compacting"),
        Right(Kind.TOPIC, ALERTS, (_R, _W, _C), "commit alerts; read the last ones, which are the cool-down's state"),
        Right(Kind.TOPIC, CUSTODY, (_W, _C), "commit receipts"),
        Right(Kind.TOPIC, DEAD_LETTERS, (_W, _C), "commit dead letters"),
        Right(Kind.GROUP, None, (_R,), "join the group and commit its offsets"),
        Right(Kind.TRANSACTIONAL_ID, None, (_W,), "one transaction for everything that a batch leaves behind"),
        _READS_WITHOUT_GROUP,
    ),
)
ENROLLER: Final = Role(
    "enroller",
    "`lamppost watchlist`: says who is sought",
    (
        Right(Kind.TOPIC, WATCHLIST, (_R, _W), "load, add, remove and show entries"),
        _READS_WITHOUT_GROUP,
    ),
)
CONSOLE: Final = Role(
    "console",
    "an operator's view: the alerts, and whether every frame is accounted for",
    (
        Right(Kind.TOPIC, ALERTS, (_R,), "show alerts"),
        Right(Kind.TOPIC, CUSTODY, (_R,), "show what became of the frames"),
        Right(Kind.TOPIC, DEAD_LETTERS, (_R,), "show what could not be read, and why"),
        Right(Kind.TOPIC, FRAMES, (_D,), "ask for the ends of the log, and no record"),
        _READS_WITHOUT_GROUP,
    ),
)
AUDITOR: Final = Role(
    "auditor",
    "`lamppost topics show`, `lamppost topics check`, `lamppost doctor`: holds receipts against the log and settings "
    "against the design, and sees no frame, no template and nobody's alert",
    (
        Right(Kind.TOPIC, CUSTODY, (_R, _C), "read the receipts"),
        Right(Kind.TOPIC, DEAD_LETTERS, (_R, _C), "read what was set aside, and why; it holds no payload"),
        Right(Kind.TOPIC, FRAMES, (_D, _C), "ask for the ends of the log, and whether it deletes"),
        Right(Kind.TOPIC, WATCHLIST, (_D, _C), "ask whether removed templates are compacted away"),
        Right(Kind.TOPIC, ALERTS, (_D, _C), "ask how long alerts are kept"),
        Right(Kind.CLUSTER, None, (_C,), "ask how often the brokers delete"),
        _READS_WITHOUT_GROUP,
    ),
)
ADMINISTRATOR: Final = "admin"
"""User of a protected local Kafka whom no ACL has to allow anything; no role, since no part of a run is one."""
ROLES: Final = (CAMERA, WORKER, ENROLLER, CONSOLE, AUDITOR)
