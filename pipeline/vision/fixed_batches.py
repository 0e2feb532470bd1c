"""A network at fixed batch sizes: padded to the next one, and on a GPU captured once and replayed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WARM_UP_PASSES = 3
"""Passes before a capture, in which libraries choose their kernels and take their memory."""


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    input: Tensor
    output: Tensor


class FixedBatches:
    """Runs a network on inputs [N, …] of any N with passes of the given sizes alone.

    On a GPU each size is captured as a CUDA graph at its first use. On a CPU the passes are the same without a graph.
    A graph writes to the same memory each time, so outputs are copied before the next pass; one thread may call it.
    """

    def __init__(self, network: nn.Module, sizes: Sequence[int]) -> None:
        """Take a network on its device, in its precision; raises ValueError unless all sizes are positive."""
        if not sizes or min(sizes) < 1:
            raise ValueError(f"batch sizes must be positive, not {list(sizes)}")
        self._network = network
        self._sizes = sorted(sizes)
        self._captured: dict[tuple[int, ...], _Captured] = {}

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the network's output for a batch; N must be at least 1."""
        parts = []
        for first in range(0, len(batch), self._sizes[-1]):
            part = batch[first : first + self._sizes[-1]]
            size = next(size for size in self._sizes if size >= len(part))
            run = self._replayed if batch.is_cuda else self._padded
            parts.append(run(part, size))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _padded(self, part: Tensor, size: int) -> Tensor:
        if len(part) == size:
            return self._run(part)
        padded = torch.zeros((size, *part.shape[1:]), dtype=part.dtype, device=part.device)
        padded[: len(part)] = part
        return self._run(padded.to(memory_format=torch.channels_last))[: len(part)]

    def _replayed(self, part: Tensor, size: int) -> Tensor:
        shape = (size, *part.shape[1:])
        held = self._captured.get(shape)
        if held is None:
            held = self._captured[shape] = self._capture(part, shape)
        held.input[: len(part)].copy_(part)
        held.graph.replay()
        return held.output[: len(part)].clone()

    def _capture(self, part: Tensor, shape: tuple[int, ...]) -> _Captured:
        given = torch.zeros(shape, dtype=part.dtype, device=part.device).to(memory_format=torch.channels_last)
        # A capture must not record what libraries do once, and must not run on the default stream.
        side = torch.cuda.Stream(part.device)  # type: ignore[no-untyped-call]  # torch does not type it
        side.wait_stream(torch.cuda.current_stream(part.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_PASSES):
                self._run(given)
        torch.cuda.current_stream(part.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may copy meanwhile
            output = self._run(given)
        return _Captured(graph, given, output)

    @property
    def _run(self) -> Callable[[Tensor], Tensor]:
        return self._network
