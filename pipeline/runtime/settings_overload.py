"""Settings of what happens under an overload."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.clocks import MOST_TOLERANCE_SECONDS
from pipeline.runtime.settings_section import Seconds, Section


class Overload(Section):
    """What happens when frames come faster than they can be searched."""

    policy: Literal["shed-oldest", "block"] = "shed-oldest"
    """`shed-oldest` drops frames older than the age below; `block` never drops by age and lets the backlog wait."""
    max_age_seconds: Seconds = 2.0
    """Age at which `shed-oldest` drops a frame when it is its turn."""
    # Cool-downs are forgotten by capture time, with a reserve of as much; beyond it a take-over could alert twice.
    clock_tolerance_seconds: Annotated[float, Field(gt=0, le=MOST_TOLERANCE_SECONDS, allow_inf_nan=False)] = 1.0
    """Departure of capture time from append time at which a camera's clock is no longer trusted, 30 s at most."""
