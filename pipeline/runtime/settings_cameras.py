"""The settings of the producers of frames."""

import re
from typing import Annotated, Final

from pydantic import Field, field_validator

from pipeline.runtime.settings_section import Names, Section

STREETS: Final = 1 << 20
"""Seeds of streets with a watchlist of their own: the groups of `pipeline.synthetic.seeds`, which imports numpy."""


class Cameras(Section):
    """The producers of frames."""

    count: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Synthetic cameras; not used when `sources` are given."""
    fps: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 2.0
    """Frames per second of each camera."""
    width: Annotated[int, Field(ge=320, le=3_840)] = 1_280
    """Picture width in pixels."""
    height: Annotated[int, Field(ge=240, le=2_160)] = 720
    """Picture height in pixels."""
    seed: Annotated[int, Field(ge=0, lt=STREETS)] = 1
    """Seed of the synthetic street: its people, their walks, and who is on the watchlist."""
    seconds: Annotated[float, Field(gt=0, le=31_622_400, allow_inf_nan=False)] | None = None
    """How long `lamppost cameras` sends, a year at most; None: until interrupted."""
    sources: Names = ()
    """Video files and folders of images, one camera each, instead of synthetic scenes; commas between them."""
    loop: bool = False
    """Begin a video or folder again at its end."""
    districts: Annotated[Names, Field(min_length=1)] = ("north", "east", "south", "west")
    """Districts that the cameras are spread over in turn; an id is its district, a slash, and `cam-` with a number."""

    @field_validator("districts")
    @classmethod
    def _plain_districts(cls, districts: tuple[str, ...]) -> tuple[str, ...]:
        for district in districts:
            if not re.fullmatch(r"[^/\s]{1,100}", district):
                raise ValueError(f"{district!r} is no district; write a name without spaces and slashes, such as north")
        return districts
