"""Pictures and removed templates are found in a broker's files and then gone, in a fifth of the design's times."""

import pytest

from loadtest.deletion import Plan, measure
from loadtest.deletion_figures import line

pytestmark = pytest.mark.integration

SCALE = 0.2
QUICK_CLEANER = {"log.cleaner.backoff.ms": "200"}
"""As the local Kafka has it, scaled: a busy machine has four seconds to spare, with the slowest accepted not two."""


def test_canaries_are_found_in_the_files_and_are_gone_in_time() -> None:
    """Frames with and without traffic behind them, and templates; what is to stay is found until the end."""
    found = measure(Plan(SCALE, broker=QUICK_CLEANER))
    assert [(figure.what, figure.promised) for figure in found] == [
        ("pictures, partition with traffic", pytest.approx(36.0)),
        ("pictures, partition that falls silent", pytest.approx(36.0)),
        ("removed templates", pytest.approx(12.0)),
        ("template that stays on the list (control)", None),
        ("picture kept by retention.ms alone (control)", None),
    ]
    assert [line(figure) for figure in found if not figure.reached] == []
