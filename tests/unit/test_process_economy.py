"""What a worker's process is told of threads and of its heap holds for all of it."""

import gc
from collections.abc import Iterator

import cv2
import pytest
import torch

from pipeline.runtime.heap import freeze_heap
from pipeline.vision.threads import use_threads


@pytest.fixture
def threads_of_the_suite() -> Iterator[None]:
    """Kernels of later tests use as many threads as before."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.usefixtures("threads_of_the_suite")
def test_both_libraries_use_the_threads_that_are_set() -> None:
    """OpenCV too, whose threads would wait in a busy loop on the core of the others."""
    for threads in (2, 1):
        use_threads(threads)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (threads, threads)


def test_the_collector_passes_over_what_there_was_and_still_finds_what_comes() -> None:
    """A cycle that is made afterwards is freed."""
    gc.unfreeze()
    try:
        freeze_heap()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 10_000
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
