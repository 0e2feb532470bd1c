"""What a process of a pool does at its start: it sees to it that it ends when the command that started it is gone."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Have this process end as soon as its parent has; the initializer of a pool.

    The processes of a pool hold both ends of the queue that they wait at, so that a killed parent does not close it.
    """
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody waits for a result, and the main thread may be deep in a library
