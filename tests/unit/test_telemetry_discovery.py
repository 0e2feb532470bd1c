"""Prometheus HTTP service discovery."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import jsonschema
import pytest

from pipeline.errors import ClusterError, ResourceError
from pipeline.telemetry.discovery import DiscoveryServer, Processes, TargetGroup, serve_discovery

TARGET_LIST = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["targets"],
        "additionalProperties": False,
        "properties": {
            "targets": {"type": "array", "items": {"type": "string", "pattern": r"^[^\s/]+:\d+$"}},
            "labels": {
                "type": "object",
                "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
                "additionalProperties": {"type": "string"},
            },
        },
    },
}
"""The target group of Prometheus's documentation of http_sd_configs."""


@contextmanager
def served(processes: Processes) -> Iterator[DiscoveryServer]:
    server = serve_discovery(processes)
    try:
        yield server
    finally:
        server.stop()


def test_the_answer_is_what_prometheus_reads() -> None:
    """Status, content type and shape are those of the http_sd documentation."""
    groups = [
        TargetGroup(("127.0.0.1:9001", "127.0.0.1:9002"), {"lamppost_run": "demo", "role": "worker"}),
        TargetGroup(("127.0.0.1:9003",), {"lamppost_run": "demo", "role": "shard"}),
    ]
    with served(lambda: groups) as server, urllib.request.urlopen(server.url, timeout=5) as answer:
        listed = json.loads(answer.read().decode("utf-8"))
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
    jsonschema.validate(listed, TARGET_LIST)
    assert [group["targets"] for group in listed] == [["127.0.0.1:9001", "127.0.0.1:9002"], ["127.0.0.1:9003"]]
    assert listed[0]["labels"] == {"lamppost_run": "demo", "role": "worker"}


def test_no_process_is_an_empty_list() -> None:
    """Prometheus asks for the empty list rather than an error when there is nothing to scrape."""
    with served(list) as server, urllib.request.urlopen(server.url, timeout=5) as answer:
        assert json.loads(answer.read()) == []


def test_each_request_lists_the_processes_anew() -> None:
    """A replaced worker appears without a restart of the endpoint."""
    groups: list[TargetGroup] = []
    with served(lambda: groups) as server:
        groups.append(TargetGroup(("127.0.0.1:9009",)))
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            assert json.loads(answer.read())[0]["targets"] == ["127.0.0.1:9009"]


def test_a_list_that_cannot_be_made_is_a_503() -> None:
    """Prometheus keeps the last list then; an empty one would drop every target."""

    def unreachable() -> list[TargetGroup]:
        raise ClusterError("the supervisor does not answer")

    with served(unreachable) as server, pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(server.url, timeout=5)
    assert refused.value.code == 503
    assert "the supervisor does not answer" in refused.value.read().decode()


def test_another_path_is_a_404() -> None:
    """A mistyped url says where the targets are."""
    with served(list) as server, pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(server.url + "x", timeout=5)
    assert refused.value.code == 404


def test_a_port_in_use_is_one_clear_error() -> None:
    """The message names the port and the setting to change."""
    with served(list) as server, pytest.raises(ResourceError, match=rf":{server.port} .*metrics\.port"):
        serve_discovery(list, port=server.port)
