"""From pictures to templates: one detector call and one embedder call for a whole batch, across cameras."""

import time

import numpy as np

from pipeline.actors.batch import Opened, Seen, Trace
from pipeline.ports import Align, Detector, Embedder


class Sight:
    """Looks at opened batches; no pixel leaves it."""

    def __init__(self, *, detector: Detector, align: Align, embedder: Embedder, trace: Trace) -> None:
        self._detector = detector
        self._align = align
        self._embedder = embedder
        self._trace = trace

    def look(self, opened: Opened) -> Seen:
        """Detect, align and embed every face of the batch."""
        began = time.monotonic()
        found = self._detector.detect([frame.image for frame in opened.frames]) if opened.frames else []
        detected = time.monotonic()
        self._trace.add(opened.number, "detect", began, detected)
        counts = [len(detections.boxes) for detections in found]
        crops = [
            self._align(frame.image, detections.landmarks)
            for frame, detections in zip(opened.frames, found, strict=True)
            if len(detections.boxes)
        ]
        if crops:
            templates = self._embedder.embed(np.concatenate(crops))
            boxes = np.concatenate([detections.boxes for detections in found if len(detections.boxes)])
        else:
            templates = np.empty((0, self._embedder.dimension), np.float32)
            boxes = np.empty((0, 4), np.float32)
        self._trace.add(opened.number, "embed", detected, time.monotonic())
        return Seen(
            extent=opened.extent,
            number=opened.number,
            endings=opened.endings,
            dead_letters=opened.dead_letters,
            frames=tuple(frame.facts for frame in opened.frames),
            face_frame=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
            boxes=boxes,
            templates=templates,
        )
