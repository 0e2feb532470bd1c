"""How many cores the kernels of a process use."""

import cv2
import torch


def use_threads(threads: int) -> None:
    """Have torch and OpenCV compute in as many threads, in all of the process.

    OpenCV has as many as there are cores otherwise, which wait for their next piece of work in a busy loop: where a
    worker is given one core, that takes time from its own kernels.
    """
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
