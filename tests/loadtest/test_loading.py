"""The load test of long watchlists: its records, its lines, and how it is told apart whether a target was reached."""

import numpy as np
import pytest

from loadtest.loading import Figure, entry_record, line, main, options
from loadtest.templates import DIMENSION, Population
from pipeline.records import WatchlistEntry
from pipeline.wire.watchlist import decode


def test_published_records_are_entries() -> None:
    """As shards read them."""
    (template,) = Population(1).templates(1)
    record = entry_record(7, template)
    said = decode(record.key, record.value, record.headers, DIMENSION)
    assert isinstance(said, WatchlistEntry)
    assert (said.entry, said.reference) == ("person-00000007", "case/00000007")
    assert np.array_equal(said.template, template)


@pytest.mark.parametrize(("value", "said"), [(59.9, "reached"), (60.1, "MISSED")])
def test_a_line_says_whether_the_target_was_reached(value: float, said: str) -> None:
    """And a figure without one says nothing of it."""
    assert line(Figure("time", value, "s", 60.0)) == f"time: {value:.2f} s; target 60 s: {said}"
    assert line(Figure("memory", 1234.4, "MiB")) == "memory: 1,234 MiB"
    assert Figure("memory", 1.0, "MiB").reached is None


def test_a_million_entries_on_four_shards_unless_told_otherwise() -> None:
    """Of the kind that a run has by default."""
    chosen = options([])
    assert (chosen.entries, chosen.shards, chosen.index) == (1_000_000, 4, "flat")


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit) as ended:
        main(["--index", "annoy"])
    assert ended.value.code == 2
    assert "invalid choice: 'annoy'" in capsys.readouterr().err
