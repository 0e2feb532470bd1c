"""How fast each stage of the eyes is, here: `python -m loadtest.kernels` (no Kafka, no Ray).

Prints items per second and CPU milliseconds per item of rendering (views of one face, frames of a street), decoding,
detection, alignment and embedding, for each precision and batch, on the GPU if torch sees one and else on the CPU;
rendering is the CPU's everywhere. Precisions take turns, so that a busy machine slows all of them alike; figures are
medians over passes.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle
from pathlib import Path
from statistics import median
from typing import Annotated, Final, Literal

import cv2
import msgspec
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from loadtest.command import writable
from pipeline.catalog.difficulties import STREET
from pipeline.errors import ModelError
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.faces import head
from pipeline.synthetic.identities import identity
from pipeline.synthetic.looks import look
from pipeline.synthetic.seeds import Population, Purpose, generator, person_seed
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.synthetic.views import single_view
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.eyes import Eyes, load_eyes
from pipeline.vision.forward import Precision
from pipeline.vision.precision import PRECISIONS
from pipeline.vision.shipped import Backbone, shipped_folder

BATCHES: Final = (1, 8, 32, 128)
FRAMES: Final = 16
FRAME_HEIGHT, FRAME_WIDTH = 720, 1280
JPEG_QUALITY: Final = 87
LEAST_PASSES: Final = 3
LOOKS: Final = 2
VIEWS_PER_LOOK: Final = 2
REDUCTIONS: Final[dict[str, Literal[1, 2]]] = {"decode": 1, "decode at 1/2": 2}

Work = Callable[[], object]


class Figure(msgspec.Struct, frozen=True):
    """One row: a stage in a precision at a batch."""

    stage: str
    precision: str
    """Empty where no network computes."""
    batch: int
    items: str
    """What is counted: views, frames or faces."""
    per_second: float
    cpu_ms: float
    """CPU milliseconds of this process per item, all threads together."""


class Report(msgspec.Struct, frozen=True):
    """All rows and what they were measured on."""

    device: str
    threads: int
    torch: str
    embedder_version: str
    figures: list[Figure]


def take_turns(works: dict[str, Work], seconds: float) -> dict[str, tuple[float, float]]:
    """Return the median (wall seconds, CPU seconds) of one pass of each work; each gets `seconds`, in turns.

    At least `LEAST_PASSES` are made of each, after one that is not counted.
    """
    for work in works.values():
        work()
    walls: dict[str, list[float]] = {name: [] for name in works}
    cpus: dict[str, list[float]] = {name: [] for name in works}
    while True:
        left = [name for name in works if len(walls[name]) < LEAST_PASSES or sum(walls[name]) < seconds]
        if not left:
            return {name: (median(walls[name]), median(cpus[name])) for name in works}
        for name in left:
            cpu, wall = time.process_time(), time.perf_counter()
            works[name]()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)


def rows(stage: str, items: str, batch: int, works: dict[str, Work], seconds: float) -> Iterator[Figure]:
    """Measure one stage at one batch in every precision."""
    for precision, (wall, cpu) in take_turns(works, seconds).items():
        yield Figure(stage, precision, batch, items, batch / wall, 1e3 * cpu / batch)


def street_jpegs() -> list[bytes]:
    """Return frames of 1280×720 of one synthetic street, as a camera sends them."""
    street = Street(StreetSpec(seed=1, camera="kernels/0", fps=1.0, density=45.0))
    pictures = [street.render(index) for index in range(4, 4 + FRAMES)]
    return [bytes(cv2.imencode(".jpg", each, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]) for each in pictures]


def eyes_by_precision(device: str, threads: int, backbone: Backbone = "compact") -> dict[Precision, Eyes]:
    """Return the shipped eyes in every precision that can be had on a device."""
    found: dict[Precision, Eyes] = {}
    for precision in PRECISIONS:
        try:
            found[precision] = load_eyes(device, threads, precision, shipped_folder(backbone))
        except ModelError as error:
            print(error)
    return found


def measure(eyes: dict[Precision, Eyes], seconds: float, batches: tuple[int, ...] = BATCHES) -> Iterator[Figure]:
    """Yield the rows of every stage; each work gets `seconds`."""
    jpegs = street_jpegs()
    images = [decode_jpeg(each) for each in jpegs]
    detector = next(iter(eyes.values())).detector
    faces = [
        (image, found.landmarks[index : index + 1])
        for image, found in zip(images, detector.detect(images), strict=True)
        for index in range(len(found.landmarks))
    ]
    crops = np.concatenate([align(image, points) for image, points in faces])
    yield from rows("render", "views", LOOKS * VIEWS_PER_LOOK, {"": Rendering()}, seconds)
    yield from rows("render", "frames", 1, {"": Filming()}, seconds)
    for batch in batches:
        some = [jpegs[index % len(jpegs)] for index in range(batch)]
        for stage, reduction in REDUCTIONS.items():
            yield from rows(stage, "frames", batch, {"": partial(_decode, some, reduction)}, seconds)
    for batch in batches:
        pictures = [images[index % len(images)] for index in range(batch)]
        detecting: dict[str, Work] = {name: partial(each.detector.detect, pictures) for name, each in eyes.items()}
        yield from rows("detect", "frames", batch, detecting, seconds)
    for batch in batches:
        picked = [faces[index % len(faces)] for index in range(batch)]
        yield from rows("align", "faces", batch, {"": partial(_align, picked)}, seconds)
    for batch in batches:
        tiled = crops[np.arange(batch) % len(crops)]
        embedding: dict[str, Work] = {name: partial(each.embedder.embed, tiled) for name, each in eyes.items()}
        yield from rows("embed", "faces", batch, embedding, seconds)


class Rendering:
    """Makes somebody new at each call, and draws and aligns them on the street, in two looks, twice in each."""

    def __init__(self) -> None:
        self._people = count()
        self._scenes = [backdrop(generator(Purpose.BACKDROP, 1), FRAME_HEIGHT, FRAME_WIDTH)]

    def __call__(self) -> NDArray[np.uint8]:
        """Return the crops, uint8[4, 112, 112, 3]."""
        number = next(self._people)
        person, rng = identity(person_seed(Population.VALIDATION, number)), generator(Purpose.VIEW, 1, number)
        crops = []
        for _ in range(LOOKS):
            subject = head(person, look(person, rng, STREET))
            for _ in range(VIEWS_PER_LOOK):
                image, points = single_view(subject, rng, self._scenes, STREET)
                crops.append(align(image, points[None]))
        return np.concatenate(crops)


class Filming:
    """Draws the next frame of a street at ten a second: heads are made as people come."""

    def __init__(self) -> None:
        self._street = Street(StreetSpec(seed=1, camera="kernels/1", fps=10.0))
        self._indices = cycle(range(self._street.frames_per_loop))

    def __call__(self) -> NDArray[np.uint8]:
        """Return the frame, uint8[720, 1280, 3]."""
        return self._street.render(next(self._indices))


def _decode(jpegs: list[bytes], reduction: Literal[1, 2]) -> None:
    for jpeg in jpegs:
        decode_jpeg(jpeg, reduction=reduction)


def _align(faces: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> None:
    for image, points in faces:
        align(image, points)


def processor() -> str:
    """Return the CPU's model and what of it matters to the precisions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in said.items()}
    model = fields.get("model name") or platform.processor() or platform.machine()
    flags = set(fields.get("flags", "").split())
    features = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if name in flags]
    return f"{model}, {os.cpu_count()} cores ({', '.join(features) or 'no vector extensions known here'})"


def show(report: Report, console: Console) -> None:
    """Print the rows as one table."""
    table = Table("stage", "precision", "batch", "per second", "CPU ms each", "CPU against fp32")
    exact = {(row.stage, row.batch): row.cpu_ms for row in report.figures if row.precision == "fp32"}
    for row in report.figures:
        base = exact.get((row.stage, row.batch))
        ratio = f"{base / row.cpu_ms:.2f} times less" if base and row.precision != "fp32" and row.cpu_ms else ""
        rate = f"{row.per_second:,.0f} {row.items}"
        table.add_row(row.stage, row.precision, str(row.batch), rate, f"{row.cpu_ms:.3f}", ratio)
    console.print(table)
    console.print(
        f"{report.device}; threads {report.threads}; torch {report.torch}; frames of 1280x720", soft_wrap=True
    )


def main(
    seconds: Annotated[float, typer.Option(min=0.01, help="Time of each stage, precision and batch.")] = 0.5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch and OpenCV.")] = 1,
    backbone: Annotated[Backbone, typer.Option(help="Which of the shipped embedders.")] = "compact",
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=writable, help="Write the figures to this file, too.")
    ] = None,
) -> None:
    """Measure rendering, decoding, detection, alignment and embedding on this machine."""
    cuda = torch.cuda.is_available()
    eyes = eyes_by_precision("cuda" if cuda else "cpu", threads, backbone)
    figures = list(measure(eyes, seconds))
    report = Report(
        device=f"{torch.cuda.get_device_name()} with {processor()}" if cuda else processor(),
        threads=threads,
        torch=str(torch.__version__),
        embedder_version=next(iter(eyes.values())).embedder.version,
        figures=figures,
    )
    show(report, Console())
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
