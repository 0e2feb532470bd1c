"""Where Prometheus is told to look for a run's processes."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.runtime.targets import Targets, machine_address, reachable


def status(*ports: int, node: str = "10.0.0.7", pool: Any = None) -> SimpleNamespace:
    """A run whose workers have these metrics ports, and a shard on port 9300."""
    return SimpleNamespace(
        pool=pool,
        workers=[SimpleNamespace(metrics_port=port, node=node) for port in ports],
        shards=[SimpleNamespace(metrics_port=9300, node="10.0.0.8")],
    )


def listed(host: str, *ports: int, cameras: str = "", node: str = "10.0.0.7") -> dict[str, tuple[str, ...]]:
    """Targets by role."""
    targets = Targets(host, "run", here="10.0.0.1")
    targets.update(status(*ports, node=node), cameras)  # type: ignore[arg-type]  # what is looked at of a status
    assert {group.labels["run"] for group in targets.groups()} == {"run"}
    return {group.labels["role"]: group.targets for group in targets.groups()}


def test_nothing_is_listed_before_the_first_look() -> None:
    """Prometheus may ask at any time."""
    assert Targets("127.0.0.1", "run", "10.0.0.1").groups() == ()


def test_processes_on_the_loopback_interface_are_listed_there() -> None:
    """By role; one that has no port yet is not listed."""
    assert listed("127.0.0.1", 9100, 0, 9102, cameras="127.0.0.1:9200") == {
        "worker": ("127.0.0.1:9100", "127.0.0.1:9102"), "shard": ("127.0.0.1:9300",), "cameras": ("127.0.0.1:9200",),
    }  # fmt: skip


def test_processes_of_several_machines_are_listed_with_their_own_addresses() -> None:
    """The command's host would be wrong for all but its own; the cameras run beside the command."""
    assert listed("0.0.0.0", 9100, cameras="0.0.0.0:9200") == {
        "worker": ("10.0.0.7:9100",), "shard": ("10.0.0.8:9300",), "cameras": ("10.0.0.1:9200",),
    }  # fmt: skip


@pytest.mark.parametrize(("port", "listed_at"), [(0, None), (9400, ("10.0.0.9:9400",))])
def test_the_supervisor_of_an_elastic_pool_is_listed_once_it_listens(
    port: int, listed_at: tuple[str, ...] | None
) -> None:
    """It alone exports what becomes of the pool."""
    targets = Targets("0.0.0.0", "run", here="10.0.0.1")
    targets.update(status(pool=SimpleNamespace(metrics_port=port, node="10.0.0.9")))  # type: ignore[arg-type]  # as above
    assert {group.labels["role"]: group.targets for group in targets.groups()}.get("supervisor") == listed_at


def test_a_ray_on_the_loopback_interface_is_on_the_commands_machine() -> None:
    """Its processes listen everywhere all the same, so others reach them at this machine's address."""
    assert listed("0.0.0.0", 9100, node="127.0.0.1")["worker"] == ("10.0.0.1:9100",)


@pytest.mark.parametrize("host", ["10.1.2.3", "lamppost.example", "127.0.0.1"])
def test_a_host_that_is_one_address_is_listed_as_it_is(host: str) -> None:
    """Somebody chose it."""
    assert reachable(host, "10.0.0.7", "10.0.0.1") == host


def test_this_machine_has_an_address() -> None:
    """Also without a network."""
    assert machine_address().count(".") == 3
