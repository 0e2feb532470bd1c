"""The job behind ``lamppost topics create --acls``: what the settings' principals are allowed, and what goes beyond."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from pipeline.catalog.roles import MADE_NAMES, READER_GROUP, ROLES, WORKER_IDS, Kind, Operation, Right
from pipeline.runtime.connections import connection_of
from pipeline.runtime.settings import Settings
from pipeline.runtime.settings_kafka import Acls
from pipeline.streams.acls import ANY_HOST, CLUSTER, Acl, AclAdmin
from pipeline.streams.probe import probe

EVERYBODY: Final = "User:*"
EVERY_NAME: Final = "*"
DEFAULT_PRINCIPALS: Final = tuple(who for role in ROLES for who in getattr(Acls(), role.name))
"""Known to be a role's even where the settings have taken the role from them."""
OF_RUNS: Final = frozenset({Kind.GROUP, Kind.TRANSACTIONAL_ID})
"""Kinds of which another run may need others."""


class Allowance(NamedTuple):
    """One ACL of a role, and whether it had to be made."""

    role: str
    acl: Acl
    made: bool


def create(settings: Settings) -> list[Allowance]:
    """Allow the principals of every role what it needs, and nothing that is allowed already once more.

    Raises BrokerError if Kafka cannot be reached, refuses or has no authorizer, SettingsError if none is set.
    """
    connection = connection_of(settings)
    probe(connection)
    admin = AclAdmin(connection)
    there = set(admin.allowed())
    wanted = wanted_acls(settings)
    admin.allow(list(dict.fromkeys(acl for _, acl in wanted if acl not in there)))
    return [Allowance(role, acl, acl not in there) for role, acl in wanted]


def excess(settings: Settings) -> list[Acl]:
    """What the principals of the roles, or everybody, may do on Kafka beyond the roles; raises as `create` does."""
    return beyond_roles(AclAdmin(connection_of(settings)).allowed(), [acl for _, acl in wanted_acls(settings)])


def wanted_acls(settings: Settings) -> list[tuple[str, Acl]]:
    """Each role's name with each ACL that its principals need; a principal of two roles may have one twice."""
    return [
        (role.name, acl)
        for role in ROLES
        for principal in getattr(settings.kafka.acls, role.name)
        for right in role.rights
        for acl in _acls(principal, right, settings)
    ]


def beyond_roles(found: Iterable[Acl], wanted: Iterable[Acl]) -> list[Acl]:
    """Those of `found` that allow what is not wanted to a principal of `wanted`, a role's default one, or everybody.

    A part of what is wanted is not beyond it: from one host, or to describe what may be read or written. The same on a
    group or on transactional ids of another name is left out, as another run may need it, but not what has more names
    than are wanted.
    """
    needed: dict[str, list[Acl]] = {EVERYBODY: [], **{who: [] for who in DEFAULT_PRINCIPALS}}
    for acl in wanted:
        needed.setdefault(acl.principal, []).append(acl)
    return [
        acl
        for acl in found
        if acl.principal in needed
        and not any(_covers(each, acl) or _of_another_run(each, acl) for each in needed[acl.principal])
    ]


def _covers(wanted: Acl, acl: Acl) -> bool:
    """Whether `wanted` allows its principal all that `acl` does."""
    names = acl.name.startswith(wanted.name) if wanted.prefixed else (acl.name, acl.prefixed) == (wanted.name, False)
    return names and _includes(wanted, acl) and wanted.host in (ANY_HOST, acl.host)


def _of_another_run(wanted: Acl, acl: Acl) -> bool:
    """Whether `acl` may be to another run what `wanted` is to this one: the same, and on none of its names."""
    of_run = wanted.kind in OF_RUNS and wanted.name != READER_GROUP
    shared = acl.name == EVERY_NAME or (acl.prefixed and wanted.name.startswith(acl.name))
    return of_run and not shared and _includes(wanted, acl)


def _includes(wanted: Acl, acl: Acl) -> bool:
    """Whether operation and kind of `acl` are among those of `wanted`."""
    described = acl.operation is Operation.DESCRIBE and wanted.operation in (Operation.READ, Operation.WRITE)
    return acl.kind == wanted.kind and (acl.operation == wanted.operation or described)


def _acls(principal: str, right: Right, settings: Settings) -> list[Acl]:
    name, prefixed = (right.name, False) if right.name is not None else _name_of(right.kind, settings)
    return [Acl(principal, right.kind, name, operation, prefixed) for operation in right.operations]


def _name_of(kind: Kind, settings: Settings) -> tuple[str, bool]:
    """What the settings make of a resource that the catalogue does not name, and whether names only begin so."""
    prefix = settings.kafka.acls.prefix
    if kind is Kind.CLUSTER:
        return CLUSTER, False
    if prefix is not None:
        return prefix, True
    if kind is Kind.GROUP:
        return settings.run.group, False
    return MADE_NAMES if settings.run.name is None else settings.run.name + WORKER_IDS, True
