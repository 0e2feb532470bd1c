"""Free ports of the loopback interface."""

import os
import socket

import pytest

from pipeline.errors import ResourceError
from pipeline.local.ports import HOST, free_ports, listens, require_free


def test_free_ports_differ_and_can_be_taken() -> None:
    """Each can be listened on at once."""
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        require_free(port)


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    """And is seen to be listened on until it is closed."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert listens(port)
        with pytest.raises(ResourceError, match=f"port {port} on 127.0.0.1 is in use .*0 for a free one"):
            require_free(port)
    assert not listens(port)


def test_a_port_that_cannot_be_is_named() -> None:
    """Port numbers have 16 bits."""
    with pytest.raises(ResourceError, match="port 65536 does not exist"):
        require_free(65536)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may listen on every port")
def test_a_port_of_root_is_named() -> None:
    """Other users may not listen below 1024."""
    with pytest.raises(ResourceError, match="port 1 is for root alone"):
        require_free(1)
