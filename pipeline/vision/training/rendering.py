"""The processes that render a training's pictures."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from pipeline.vision.child_process import end_with_parent


def rendering_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool whose processes start afresh and are gone when this one is, even by SIGKILL."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent)
