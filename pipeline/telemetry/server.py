"""Serves one process's registry to Prometheus on a port of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from pipeline.errors import ResourceError


@contextmanager
def listening(what: str, host: str, port: int) -> Iterator[None]:
    """Turns an OSError of the block, which binds a port, into a ResourceError that names `what`, address and fix."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{what} cannot listen on {host}:{port} ({error.strerror or error}); "
            f"choose another metrics.port (0 takes a free one) or metrics.host"
        ) from error


class MetricsServer:
    """A running metrics endpoint; `stop` frees its port."""

    def __init__(self, host: str, server: WSGIServer, thread: Thread) -> None:
        self._host = host
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    @property
    def address(self) -> str:
        """host:port, as Prometheus scrapes it."""
        return f"{self._host}:{self.port}"

    def stop(self) -> None:
        """Stop listening; returns when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(registry: CollectorRegistry, host: str = "127.0.0.1", port: int = 0) -> MetricsServer:
    """Serve `registry` on `port`, 0 for a free one; raises ResourceError naming the address if it can't be had."""
    with listening("the metrics endpoint", host, port):
        server, thread = start_http_server(port, host, registry)
    return MetricsServer(host, server, thread)
