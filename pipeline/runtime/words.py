"""Words for people that depend on a number."""

from collections.abc import Mapping
from typing import Final

from pipeline.catalog.outcomes import Outcome

USUAL: Final = (Outcome.PROCESSED, Outcome.SHED)
"""What becomes of valid frames that were there to be read."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """The number and what it counts, as in ``1 entry`` and ``1,200 entries``; `many` defaults to `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def outcomes_told(outcomes: Mapping[str, int]) -> str:
    """Frames by outcome, as in ``1,200 processed, 0 shed, 3 dead-lettered``; what is unusual only if there is any."""
    return ", ".join(_told(each, outcomes) for each in Outcome if each in USUAL or outcomes.get(each))


def unusual_told(outcomes: Mapping[str, int]) -> str:
    """The frames that were neither processed nor shed, as in ``3 dead-lettered``; empty if there are none."""
    return ", ".join(_told(each, outcomes) for each in Outcome if each not in USUAL and outcomes.get(each))


def _told(outcome: Outcome, outcomes: Mapping[str, int]) -> str:
    return f"{outcomes.get(outcome, 0):,} {outcome.replace('_', '-')}"
