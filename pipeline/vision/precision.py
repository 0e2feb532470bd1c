"""Which arithmetic the shipped networks run in: building each, and choosing by a short probe."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final, Literal, TypeVar

from torch import nn

from pipeline.errors import ModelError
from pipeline.vision.forward import FloatForward, Forward, Precision
from pipeline.vision.int8 import Int8Detector, Int8Embedder, int8_available
from pipeline.vision.networks import DetectorNetwork, EmbedderNetwork, fuse

_log = logging.getLogger(__name__)

PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "bf16", "int8")
"""The most exact first."""
WORTH: Final = 0.85
"""A less exact precision is taken if it needs at most this share of a more exact one's time."""
PROBE_PASSES: Final = 5
PROBE_SECONDS: Final = 0.5
"""Time after which no further pass of a candidate is begun."""

Candidate = TypeVar("Candidate")

Ceilings = Mapping[str, float] | None
"""Ceilings of a network's activations by its convolutions' names; None or empty where there are none."""


def embedder_forward(network: nn.Module, device: str, precision: Precision, ceilings: Ceilings) -> Forward:
    """Return the embedder in a precision; raises ModelError if it cannot be had there."""
    if precision != "int8":
        return FloatForward(network, device, precision)
    require_int8("embedder", network, device, ceilings)
    return _quantised(lambda: Int8Embedder(fuse(network.eval()), ceilings or {}), "embedder")  # type: ignore[arg-type]  # fuse keeps the type


def detector_forward(network: nn.Module, device: str, precision: Precision, ceilings: Ceilings) -> Forward:
    """Return the detector in a precision; raises ModelError if it cannot be had there."""
    if precision != "int8":
        return FloatForward(network, device, precision)
    require_int8("detector", network, device, ceilings)
    return _quantised(lambda: Int8Detector(fuse(network.eval()), ceilings or {}), "detector")  # type: ignore[arg-type]  # fuse keeps the type


def require_int8(name: str, network: nn.Module, device: str, ceilings: Ceilings) -> None:
    """Raise ModelError saying why if a network cannot run in int8 on a device."""
    why = ""
    if device != "cpu":
        why = f"it is for the CPU, and the device is {device}"
    elif not int8_available():
        why = "this processor has no int8 dot products (VNNI)"
    elif not isinstance(network, EmbedderNetwork | DetectorNetwork):
        why = f"it is not there for {type(network).__name__}"
    elif not ceilings:
        why = "the manifest of the weights holds no ceilings of its activations; `lamppost train` writes them"
    if why:
        raise ModelError(f"the {name} cannot run in int8: {why}; set vision.precision to auto")


def _quantised(make: Callable[[], Forward], name: str) -> Forward:
    try:
        return make()
    except KeyError as error:
        raise ModelError(
            f"the {name} cannot run in int8: the manifest of the weights lacks the ceiling of {error.args[0]}"
        ) from error


def fastest(seconds: Mapping[Precision, Sequence[float]]) -> Precision:
    """Return the precision to take, from the seconds of equal work in each; raises ValueError without any.

    Medians are compared, from the most exact on: a less exact one has to be worth it.
    """
    timed = [(precision, median(seconds[precision])) for precision in PRECISIONS if seconds.get(precision)]
    if not timed:
        raise ValueError("no precision was timed")
    chosen, least = timed[0]
    for precision, value in timed[1:]:
        if value <= WORTH * least:
            chosen, least = precision, value
    return chosen


def clock_of(device: str) -> Callable[[], float]:
    """Return what times a probe: a CPU's time, which others' work leaves alone, or that until a GPU has answered."""
    return time.process_time if device == "cpu" else time.perf_counter


def probe(
    name: Literal["detector", "embedder"],
    candidates: Mapping[Precision, Candidate],
    work: Callable[[Candidate], object],
    clock: Callable[[], float],
) -> Precision:
    """Return the candidate to take for a network, after a few passes of each in turn by `clock`; logs what it took."""
    for candidate in candidates.values():
        work(candidate)  # kernels are chosen and memory is taken in the first pass
    seconds: dict[Precision, list[float]] = {precision: [] for precision in candidates}
    for _ in range(PROBE_PASSES):
        for precision, candidate in candidates.items():
            if sum(seconds[precision]) < PROBE_SECONDS / len(candidates):
                began = clock()
                work(candidate)
                seconds[precision].append(clock() - began)
    chosen = fastest(seconds)
    figures = ", ".join(f"{precision} {1e3 * median(values):.1f} ms" for precision, values in seconds.items())
    _log.info("the %s runs in %s; a pass of the probe took %s", name, chosen, figures)
    return chosen
