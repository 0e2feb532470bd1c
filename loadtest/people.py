"""A contact sheet of people who do not exist: `python -m loadtest.people docs/images/people.png`.

A row is a person of the validation population; the first picture is one of enrolment, the others are as a camera of
each difficulty sees them, two days apart.
"""

from pathlib import Path
from typing import Annotated, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.faces import enrolment_views, head
from pipeline.synthetic.identities import identity
from pipeline.synthetic.looks import look
from pipeline.synthetic.seeds import Population, Purpose, generator, person_seed
from pipeline.synthetic.views import single_view

SIDE: Final = 128
"""Of one picture, in pixels; small faces are scaled up."""
DAYS: Final = 2
SCENES: Final = 4


def sheet(seed: int, people: int) -> NDArray[np.uint8]:
    """Return the sheet, uint8[128·people, 128·9, 3] BGR, of the first people of a seed."""
    scenes = [backdrop(generator(Purpose.BACKDROP, seed, number), 480, 854) for number in range(SCENES)]
    rows = []
    for number in range(people):
        person = identity(person_seed(Population.VALIDATION, seed * 1000 + number))
        rng = generator(Purpose.VIEW, seed, number)
        pictures = [_fitted(enrolment_views(person, 1)[0])]
        pictures += [
            _fitted(single_view(head(person, look(person, rng, place)), rng, scenes, place)[0])
            for place in DIFFICULTIES.values()
            for _ in range(DAYS)
        ]
        rows.append(np.hstack(pictures))
    return np.vstack(rows)


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shrinks = picture.shape[0] > SIDE
    fitted = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return fitted.astype(np.uint8)


def main(
    png: Annotated[Path, typer.Argument(help="Where the sheet goes.")],
    seed: Annotated[int, typer.Option(min=0, help="Whose people.")] = 0,
    people: Annotated[int, typer.Option(min=1, max=50, help="Rows.")] = 6,
) -> None:
    """Draw a contact sheet."""
    if not cv2.imwrite(str(png), sheet(seed, people)):
        raise typer.BadParameter(f"{png} cannot be written", param_hint="png")


if __name__ == "__main__":
    typer.run(main)
