"""The bare kernel loop: what a worker and its shards compute, without Kafka, Ray, threads or records."""

import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np

from loadtest.tax_figures import Bare
from pipeline.matching.engine import nearest
from pipeline.records import WatchlistEntry
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.eyes import load_eyes
from pipeline.vision.forward import Precision

WARM_UP_BATCHES = 3


def bare_loop(
    jpegs: list[bytes], entries: list[WatchlistEntry], frames: int, *, batch: int, top_k: int, precision: Precision
) -> Bare:
    """Decode, detect, align, embed and search `frames` frames, which go round in `jpegs`, in batches; one thread."""
    eyes = load_eyes(threads=1, precision=precision)
    gallery = np.stack([entry.template for entry in entries])

    def look(first: int, count: int) -> None:
        images = [decode_jpeg(jpegs[index % len(jpegs)]) for index in range(first, first + count)]
        found = eyes.detector.detect(images)
        crops = [align(image, each.landmarks) for image, each in zip(images, found, strict=True) if len(each.boxes)]
        if crops:
            probes = eyes.embedder.embed(np.concatenate(crops))
            nearest(probes, gallery, min(top_k, len(gallery)), threads=1)

    for number in range(WARM_UP_BATCHES):
        look(number * batch, batch)
    began = time.process_time()
    for first in range(0, frames, batch):
        look(first, min(batch, frames - first))
    return Bare(frames, time.process_time() - began)


def main(path: str, cores: str) -> None:
    """Run the loop on what the file `path` holds, pinned to `cores` (numbers with commas), and print the result."""
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    # written a moment ago by the benchmark that started this process
    arguments = pickle.loads(Path(path).read_bytes())
    result = bare_loop(**arguments)
    print(f"{result.frames} {result.cpu_seconds!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
