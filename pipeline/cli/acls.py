"""The part of ``lamppost topics create`` that is about access control."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.catalog.roles import ROLES
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.runtime.settings import Settings

Acls = Annotated[
    bool, typer.Option("--acls", help="Allow each role what it needs, and name what is allowed beyond that.")
]
AclPrincipals = Annotated[
    list[str] | None,
    typer.Option(
        "--acl-principal", metavar="ROLE=PRINCIPAL", help="Who has a role, such as camera=User:cam-1; may be repeated."
    ),
]
AclPrefix = Annotated[
    str | None, typer.Option("--acl-prefix", metavar="START", help="How groups and run names of workers begin.")
]


def acl_options(acls: bool, principals: list[str] | None, prefix: str | None) -> dict[str, tuple[str, object]]:
    """What the options set, for `settings_of`; raises SettingsError if one has no use or no meaning."""
    if not acls and (principals or prefix is not None):
        raise SettingsError("--acl-principal and --acl-prefix are about ACLs; add --acls, or leave them out")
    given: dict[str, list[str]] = {}
    for each in principals or ():
        role, sign, principal = each.partition("=")
        if not sign or role not in {known.name for known in ROLES}:
            known = ", ".join(known.name for known in ROLES)
            raise SettingsError(
                f"--acl-principal {each}: should be ROLE=PRINCIPAL, as in camera=User:camera; roles are {known}"
            )
        given.setdefault(role, []).append(principal)
    options: dict[str, tuple[str, object]] = {
        f"acl_principal {role}": (f"kafka.acls.{role}", tuple(names)) for role, names in given.items()
    }
    return options | {"acl_prefix": ("kafka.acls.prefix", prefix)}


def create_acls(settings: "Settings") -> None:
    """Make the ACLs and print each; raises BrokerError if Kafka does not take them."""
    from pipeline.runtime import acls as job

    for role, acl, made in job.create(settings):
        typer.echo(f"{role}: {acl}: {'made' if made else 'was there'}")


def excess_told(settings: "Settings") -> str:
    """What is allowed beyond what the roles need, and what to do about it; empty if nothing is."""
    from pipeline.runtime import acls as job

    if not (beyond := job.excess(settings)):
        return ""
    return f"allowed beyond the roles: {'; '.join(map(str, beyond))}. Kafka's kafka-acls.sh --remove takes it away"
