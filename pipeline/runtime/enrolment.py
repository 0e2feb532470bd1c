"""Makes the demo's watchlist in a process of its own, whose memory is given back when it is done."""

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection as Channel
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import LamppostError
from pipeline.ports import Embedder
from pipeline.records import WatchlistEntry
from pipeline.runtime.enrolment_cache import cached_templates, keep_templates, model_key
from pipeline.synthetic.seeds import Population, entry_id, group

PORTION = 25
"""People enrolled between two words of progress."""


class Enrolment:
    """Enrols the people of watchlist group `seed`; made, it works; `stop` must be called in every case.

    `embedder_model` is the manifest of an embedder of the user's own, `weights` a folder that training wrote; raises
    ModelError if they cannot be read.

    What an earlier command of this user has made is taken from the cache, and no process is started.
    """

    def __init__(self, seed: int, size: int, embedder_model: Path | None = None, weights: Path | None = None) -> None:
        self._seed = seed
        self._model = model_key(embedder_model, weights)
        self._people = group(Population.WATCHLIST, seed, size)
        self._portions: list[NDArray[np.float32]] = []
        self._process: Any = None
        kept = cached_templates(seed, size, self._model)
        if kept is not None:
            self._portions = [kept]
            return
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks
        self._channel, far_end = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_enrol, args=(self._people, embedder_model, weights, far_end), name="enrolment", daemon=True
        )
        self._process.start()
        far_end.close()

    @property
    def done(self) -> int:
        """People enrolled so far."""
        return sum(map(len, self._portions))

    @property
    def complete(self) -> bool:
        """Whether everybody is enrolled; takes in what the process has said, and raises what ended it."""
        while self.done < len(self._people) and self._channel.poll():
            try:
                said = self._channel.recv()
            except EOFError as error:
                raise LamppostError("the process that makes the watchlist ended unexpectedly") from error
            if isinstance(said, LamppostError):
                raise said
            self._portions.append(said)
            if self.done == len(self._people):
                keep_templates(self._seed, np.concatenate(self._portions), self._model)
        return self.done == len(self._people)

    @property
    def entries(self) -> list[WatchlistEntry]:
        """The entries that are there so far."""
        return [
            WatchlistEntry(entry_id(person), np.array(template), reference=f"person {person}")
            for person, template in zip(self._people, (row for each in self._portions for row in each), strict=False)
        ]

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._channel.close()
            self._process = None


def _enrol(people: Sequence[int], embedder_model: Path | None, weights: Path | None, channel: Channel) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the command ends this process
    from pipeline.vision.enrolment import enrol  # noqa: PLC0415  # torch is loaded in this process alone
    from pipeline.vision.eyes import load_embedder  # noqa: PLC0415  # as above
    from pipeline.vision.own_models import OwnEmbedder  # noqa: PLC0415  # as above
    from pipeline.vision.trials import enrolment_crops  # noqa: PLC0415  # as above

    try:
        embedder: Embedder = (
            load_embedder("cpu", "fp32", weights) if embedder_model is None else OwnEmbedder(embedder_model)
        )
        for first in range(0, len(people), PORTION):
            crops = enrolment_crops(tuple(people[first : first + PORTION]))
            channel.send(np.stack([enrol(embedder, each) for each in crops]))
    except LamppostError as error:
        channel.send(error)
