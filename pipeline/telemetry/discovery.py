"""Prometheus HTTP service discovery (http_sd): lists the processes of one run.

The answer follows https://prometheus.io/docs/prometheus/latest/http_sd/: status 200, content type application/json,
a UTF-8 JSON list of target groups, the whole list each time.
"""

from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

import msgspec

from pipeline.errors import LamppostError
from pipeline.telemetry.server import listening

PATH: Final = "/targets"


class TargetGroup(msgspec.Struct, frozen=True):
    """Addresses (host:port) that share labels."""

    targets: tuple[str, ...]
    labels: Mapping[str, str] = {}


Processes = Callable[[], Sequence[TargetGroup]]
"""Lists the metrics endpoints that are alive now; called for each request, from the server's threads."""


class DiscoveryServer:
    """Answers Prometheus until stopped."""

    def __init__(self, processes: Processes, host: str, port: int) -> None:
        self._host = host
        with listening("service discovery", host, port):
            self._server = ThreadingHTTPServer((host, port), _handler(processes))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="http_sd", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """What to write into Prometheus's http_sd_configs."""
        return f"http://{self._host}:{self.port}{PATH}"

    def stop(self) -> None:
        """Stop listening; returns when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_discovery(processes: Processes, host: str = "127.0.0.1", port: int = 0) -> DiscoveryServer:
    """List `processes` on `port`, 0 for a free one; raises ResourceError naming the address if it can't be had.

    A LamppostError of `processes` is answered with 503 and its message, upon which Prometheus keeps its last list.
    """
    return DiscoveryServer(processes, host, port)


def _handler(processes: Processes) -> type[BaseHTTPRequestHandler]:
    class Targets(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in {"/", PATH}:
                self._answer(404, "text/plain; charset=utf-8", f"targets are listed at {PATH}\n".encode())
                return
            try:
                body = msgspec.json.encode(list(processes()))
            except LamppostError as error:
                self._answer(503, "text/plain; charset=utf-8", f"{error}\n".encode())
                return
            self._answer(200, "application/json", body)

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are no news."""

    return Targets
