"""Makes the demo's watchlist in a process of its own, whose memory is given back when it is done."""

import multiprocessing
import signal
from multiprocessing.connection import Connection as Channel
from typing import Any

import numpy as np

from pipeline.errors import LamppostError
from pipeline.records import WatchlistEntry
from pipeline.synthetic.seeds import Population, entry_id, group

PORTION = 25
"""People enrolled between two words of progress."""


class Enrolment:
    """Enrols the people of watchlist group `seed`; made, it works; `stop` must be called in every case."""

    def __init__(self, seed: int, size: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks
        self._channel, far_end = context.Pipe(duplex=False)
        self._process: Any = context.Process(target=_enrol, args=(seed, size, far_end), name="enrolment", daemon=True)
        self._process.start()
        far_end.close()
        self._size = size
        self._entries: list[WatchlistEntry] = []

    @property
    def done(self) -> int:
        """People enrolled so far."""
        return len(self._entries)

    @property
    def complete(self) -> bool:
        """Whether everybody is enrolled; takes in what the process has said, and raises what ended it."""
        while self.done < self._size and self._channel.poll():
            try:
                said = self._channel.recv()
            except EOFError as error:
                raise LamppostError("the process that makes the watchlist ended unexpectedly") from error
            if isinstance(said, LamppostError):
                raise said
            self._entries += said
        return self.done == self._size

    @property
    def entries(self) -> list[WatchlistEntry]:
        """The entries that are there so far."""
        return self._entries

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._channel.close()


def _enrol(seed: int, size: int, channel: Channel) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the command ends this process
    from pipeline.vision.enrolment import enrol  # noqa: PLC0415  # torch is loaded in this process alone
    from pipeline.vision.eyes import load_eyes  # noqa: PLC0415  # as above
    from pipeline.vision.trials import enrolment_crops  # noqa: PLC0415  # as above

    try:
        embedder = load_eyes().embedder
        people = group(Population.WATCHLIST, seed, size)
        for first in range(0, size, PORTION):
            portion = people[first : first + PORTION]
            templates = [enrol(embedder, crops) for crops in enrolment_crops(portion)]
            channel.send(
                [
                    WatchlistEntry(entry_id(person), np.asarray(template, np.float32), reference=f"person {person}")
                    for person, template in zip(portion, templates, strict=True)
                ]
            )
    except LamppostError as error:
        channel.send(error)
