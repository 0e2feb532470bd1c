"""The job behind ``lamppost kafka start``: a local Kafka in the foreground."""

import signal
import threading
from collections.abc import Callable

from pipeline.errors import BrokerError
from pipeline.local.kafka import LocalKafka
from pipeline.runtime.settings import Settings

LOOK_SECONDS = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start(
    settings: Settings,
    port: int,
    *,
    progress: Callable[[int, int], None],
    notice: Callable[[str], None],
    ready: Callable[[str], None],
) -> None:
    """Run a local Kafka until SIGINT or SIGTERM, and remove it.

    `port` 0 takes a free one; `progress` is told the bytes fetched and the bytes in all if Kafka has to be fetched, and
    `notice` what else a first start does; `ready` is told the address once it answers. Raises ResourceError if it can't
    be started, BrokerError if it ends by itself.
    """
    kafka = LocalKafka(port=port, progress=progress, notice=notice)
    told = threading.Event()
    try:
        kafka.start()
        kafka.wait(settings.lifecycle.start_seconds)
        # from here on an interrupt is the wanted end; before, it is one that interrupts
        before = [signal.signal(number, lambda *_: told.set()) for number in SIGNALS]
        try:
            ready(kafka.address)
            while not told.wait(LOOK_SECONDS):
                if not kafka.alive():
                    raise BrokerError(f"Kafka at {kafka.address} ended: {kafka.last_log_line()}")
        finally:
            for number, handler in zip(SIGNALS, before, strict=True):
                signal.signal(number, handler)
    finally:
        kafka.stop()
