"""What a process that works on one batch after another spares Python's garbage collector."""

import gc


def freeze_heap() -> None:
    """Have the collector pass over all there is now, once a process is built and before it works.

    What was loaded, some 270,000 objects of torch and Ray, lives as long as the process. The collector would go through
    it again and again for the few objects of each batch, which took a worker 0.2 to 0.3 ms of every frame.
    """
    gc.collect()
    gc.freeze()
