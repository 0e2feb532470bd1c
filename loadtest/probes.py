"""What a template holds, by linear probes: `python -m loadtest.probes --seed A` (no Kafka, no Ray).

A ridge regression goes from templates of single pictures to each number that a person or a day's look is made of, and
is tested on other people. R² is the share of a number's variance that the template gives away to a linear reader: 1 is
all, 0 and less none. What identifies should be there; what a person wears should not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.catalog.difficulties import DIFFICULTIES, Difficulty
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.faces import head
from pipeline.synthetic.identities import Identity, identity
from pipeline.synthetic.looks import Look, look
from pipeline.synthetic.seeds import SEEDS, Population, Purpose, ValidationGroups, generator, group
from pipeline.synthetic.views import single_view
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.eyes import load_embedder
from pipeline.vision.trials import encode

TESTED: Final = 0.3
"""Share of the people that the probe is tested on."""
RIDGE: Final = 1e-3
"""Weight of the penalty ÷ (pictures × the mean square of a template's component)."""
SCENES: Final = 6
WORN: Final = ("glasses", "cap", "headscarf", "scarf", "beard", "smile", "jaw_open")
"""Fields of a look that are probed."""
PARTS: Final = {
    "skull": ("crown_width", "temple_width", "upper_height", "front_depth", "back_depth", "forehead_slope"),
    "cheeks, jaw and chin": (
        "cheek_width", "jaw_width", "chin_width", "lower_height", "cheekbone", "cheek_fullness", "chin_projection",
    ),
    "brows": ("brow_y", "brow_thickness", "brow_length", "brow_arch", "brow_tilt", "brow_density"),
    "eyes": ("eye_spacing", "eye_y", "eye_width", "eye_height", "eye_tilt", "socket_depth"),
    "nose": ("nose_length", "nose_width", "nose_protrusion", "bridge_width", "bridge_height", "tip_size"),
    "mouth": ("mouth_y", "mouth_width", "upper_lip", "lower_lip", "lip_red"),
    "ears": ("ear_size", "ear_y", "ear_flare"),
    "hairline": ("hairline", "hairline_peak", "hairline_recession"),
    "marks": ("eye_bags", "nasolabial_fold", "forehead_lines", "freckles"),
}  # fmt: skip
"""Parts of the face with the numbers of `Shape` that are averaged for each."""


def r_squared(
    templates: NDArray[np.float32], values: NDArray[np.float64], tested: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return R² on the tested rows, float64[K], of a ridge regression on the others, float[M, d] to float[M, K].

    A number that never varies has NaN.
    """
    design = np.hstack([templates.astype(np.float64), np.ones((len(templates), 1))])
    known = design[~tested]
    penalty = RIDGE * len(known) / templates.shape[1] * np.eye(design.shape[1])
    penalty[-1, -1] = 0.0
    weights = np.linalg.solve(known.T @ known + penalty, known.T @ values[~tested])
    truth = values[tested]
    left = ((truth - design[tested] @ weights) ** 2).sum(axis=0)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    varies = np.ptp(truth, axis=0) > 0.0
    return np.where(varies, 1.0 - left / np.where(varies, spread, 1.0), np.nan)


def numbers(person: Identity, today: Look) -> dict[str, float]:
    """Return every probed number of a person and a look by name."""
    blue, green, red = (float(part) for part in person.hair_colour)
    return {
        "skin tone": person.tone,
        "hair brightness": (blue + green + red) / 3.0,
        **{f"shape.{name}": float(getattr(person.shape, name)) for names in PARTS.values() for name in names},
        **{f"pigment.{cell}": float(dark) for cell, dark in enumerate(person.pigment.ravel())},
        **{f"look.{name}": float(getattr(today.style, name)) for name in WORN},
    }


def pictures(
    people: tuple[int, ...], place: Difficulty, seed: int, step: Callable[[], None]
) -> tuple[NDArray[np.uint8], list[dict[str, float]]]:
    """Return a crop of each person on each of two days, uint8[2·N, 112, 112, 3], aligned by the truth, and numbers."""
    stream = ValidationGroups.LINEAR_PROBES + seed
    scenes = [backdrop(generator(Purpose.BACKDROP, stream, k), 480, 854) for k in range(SCENES)]
    crops, rows = [], []
    for each in people:
        person = identity(each)
        rng = generator(Purpose.VIEW, stream, each)
        for _ in range(2):
            today = look(person, rng, place)
            image, landmarks = single_view(head(person, today), rng, scenes, place)
            sent = decode_jpeg(encode(image, int(rng.integers(*place.jpeg_quality))))
            crops.append(align(sent, landmarks[None])[0])
            rows.append(numbers(person, today))
        step()
    return np.stack(crops), rows


def findings(templates: NDArray[np.float32], rows: list[dict[str, float]]) -> dict[str, float]:
    """Return R² by what it is of; a part of the face has the mean over its numbers."""
    people = len(rows) // 2
    tested = np.repeat(np.arange(people) >= round((1.0 - TESTED) * people), 2)
    names = list(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])
    found = dict(zip(names, r_squared(templates, values, tested), strict=True))
    return {
        "skin tone": float(found["skin tone"]),
        "hair brightness": float(found["hair brightness"]),
        "pigment": float(np.nanmean([share for name, share in found.items() if name.startswith("pigment.")])),
        **{part: float(np.mean([found[f"shape.{name}"] for name in of])) for part, of in PARTS.items()},
        **{f"worn or done today: {name.replace('_', ' ')}": float(found[f"look.{name}"]) for name in WORN},
    }


def main(
    seed: Annotated[int, typer.Option(min=0, max=SEEDS - 1, help="Seed of people and pictures.")] = 0,
    people: Annotated[int, typer.Option(min=200, help="People; each has two pictures.")] = 3000,
    difficulty: Annotated[str, typer.Option(help="How the pictures are taken.")] = "street",
    weights: Annotated[
        Path | None, typer.Option(help="Folder of a training; the shipped weights if not given.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures there.")] = None,
) -> None:
    """Say what a template gives away to a linear reader."""
    if difficulty not in DIFFICULTIES:
        raise typer.BadParameter(f"{difficulty!r} is none of {', '.join(DIFFICULTIES)}", param_hint="--difficulty")
    if json and not json.parent.is_dir():
        raise typer.BadParameter(f"{json.parent} is no folder", param_hint="--json")
    torch.set_num_threads(1)
    embedder = load_embedder("cpu", "fp32", weights)
    console = Console()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("pictures", total=people)
        crops, rows = pictures(
            group(Population.VALIDATION, ValidationGroups.LINEAR_PROBES + seed, people),
            DIFFICULTIES[difficulty],
            seed,
            lambda: bar.advance(task),
        )
    found = findings(embedder.embed(crops), rows)
    table = Table("what", "R² on other people", title=f"{embedder.version}, {difficulty}, {people:,} people")
    for name, share in found.items():
        table.add_row(name, "never varies" if np.isnan(share) else f"{share:.2f}")
    console.print(table)
    if json:
        plain = {name: None if np.isnan(share) else share for name, share in found.items()}
        json.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=2))


if __name__ == "__main__":
    typer.run(main)
