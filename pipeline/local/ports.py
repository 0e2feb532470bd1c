"""Free ports of the loopback interface."""

import socket
from contextlib import ExitStack, suppress
from typing import Final

from pipeline.errors import ResourceError

HOST: Final = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports on which nothing listens now; another program may take one before it is used."""
    with ExitStack() as held:
        taken = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in taken]


def require_free(port: int) -> None:
    """Raise ResourceError if `port` cannot be listened on."""
    with socket.socket() as attempt:
        # as servers do it: a connection that was closed lately is no hindrance
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OverflowError as error:
            raise ResourceError(f"port {port} does not exist; choose one up to 65535, or 0 for a free one") from error
        except PermissionError as error:
            raise ResourceError(f"port {port} is for root alone; choose another, or 0 for a free one") from error
        except OSError as error:
            raise ResourceError(
                f"port {port} on {HOST} is in use by another program; choose another, or 0 for a free one"
            ) from error


def listens(port: int, timeout: float = 1.0) -> bool:
    """Whether something accepts connections on `port`."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout):
        return True
    return False
