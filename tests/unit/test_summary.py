"""summary.json and the pages that follow from code."""

import json
from pathlib import Path

import jsonschema
import pytest

from pipeline.errors import ResourceError
from pipeline.runtime.reference import pages
from pipeline.runtime.summary import (
    CameraCounts,
    CameraSummary,
    Custody,
    Pool,
    Quantiles,
    Summary,
    Truth,
    read_summary,
    require_folder,
    write_summary,
)

DOCS = Path(__file__).parents[2] / "docs"
NOTHING = Quantiles(None, None, None, None)
SUMMARY = Summary(
    ok=True,
    problems=[],
    run="demo",
    replaced_processes=0,
    last_replacement="",
    pool=Pool(least=1, most=4, grown=2, shrunk=1),
    seed=7,
    seconds=60.0,
    versions={"lamppost": "0.1.0"},
    settings={"cameras.count": "1"},
    cameras=CameraCounts(120, 120, 0),
    custody=Custody(120, 119, 1, 0, 0, 0, 0, True),
    truth=Truth(4, 4, 0, 0, 300),
    alerts=4,
    first_alert_seconds=12.5,
    frames_per_second=2.0,
    latency_seconds=Quantiles(0.1, 0.2, 0.3, 0.4),
    alert_latency_seconds=NOTHING,
    queue_age_seconds=NOTHING,
    memory_peak_bytes=2**31,
    per_camera=[CameraSummary("street/1", 120, 120, 1, 300, 4, NOTHING, NOTHING)],
)


def test_a_written_summary_fits_the_committed_schema(tmp_path: Path) -> None:
    """Other programs read the file by docs/summary.schema.json."""
    path = write_summary(SUMMARY, tmp_path / "new" / "out")
    schema = json.loads((DOCS / "summary.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))
    assert read_summary(path) == SUMMARY


def test_a_summary_that_lacks_a_field_does_not_fit_the_schema(tmp_path: Path) -> None:
    """The schema would accept anything if it required nothing."""
    schema = json.loads((DOCS / "summary.schema.json").read_text(encoding="utf-8"))
    lacking = json.loads(write_summary(SUMMARY, tmp_path).read_text(encoding="utf-8"))
    del lacking["custody"]["balanced"]
    with pytest.raises(jsonschema.ValidationError, match="balanced"):
        jsonschema.Draft202012Validator(schema).validate(lacking)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    """The message names the file and the option."""
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(ResourceError, match=r"out/summary\.json cannot be written .*--out"):
        write_summary(SUMMARY, tmp_path / "out")


@pytest.mark.parametrize("name", pages())
def test_a_page_made_from_code_is_current(name: str) -> None:
    """`make docs` writes them."""
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name]


def test_a_folder_that_cannot_be_written_to_is_said_before_the_run(tmp_path: Path) -> None:
    """A file where the folder should be is one clear error that names it and the option."""
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(ResourceError, match=r"out cannot be written to .*--out"):
        require_folder(tmp_path / "out")


def test_a_folder_that_is_missing_is_made_and_left_empty(tmp_path: Path) -> None:
    """Asking leaves nothing behind but the folder."""
    require_folder(tmp_path / "results" / "today")
    assert list((tmp_path / "results" / "today").iterdir()) == []
