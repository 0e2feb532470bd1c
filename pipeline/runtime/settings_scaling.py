"""Settings of an elastic pool of workers."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.runtime.settings_section import Count, Seconds, Section


class Scaling(Section):
    """An elastic pool of workers, as docs/elastic.md describes; without `max` the pool is fixed at `run.workers`."""

    min: Count | None = None
    """Workers that there are at least, and at the start; None: 1."""
    max: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Workers that there are at most; each needs a partition of its own. None: `run.workers`, a fixed pool."""
    target_lag_seconds: Seconds = 1.0
    """How long frames may wait in Kafka before workers are added; by their age, and by the lag as seconds of work."""
    interval_seconds: Annotated[float, Field(ge=5, le=3_600, allow_inf_nan=False)] = 30.0
    """The pool changes once within as long at most; frames that wait too long for a fifth of it make it grow."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max is None and self.min is not None:
            raise ValueError(
                f"min={self.min} is set without max, and only a pool with scaling.max is elastic; set scaling.max, or "
                f"leave scaling.min out"
            )
        if self.max is not None and self.min is not None and self.min > self.max:
            raise ValueError(
                f"min={self.min} is greater than max={self.max}; set scaling.min to at most {self.max} or scaling.max "
                f"to at least {self.min}"
            )
        return self
