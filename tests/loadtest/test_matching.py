"""The benchmark of the search: its truth, what it prints, and one short run of the real thing."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from loadtest import matching
from loadtest.matching import THREAD_VARIABLES, best, main, multiply
from loadtest.matching_figures import MEANINGS, SGEMM, Built, Figure, Report, Sharded, show
from loadtest.templates import Population


def test_truth_and_products_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the last part is shorter than the others."""
    monkeypatch.setattr(matching, "PART_ROWS", 4)
    rows = np.eye(10, dtype=np.float32)
    assert best(rows[[9, 0, 5]], rows).tolist() == [9, 0, 5]
    out = np.zeros((3, 4), np.float32)
    multiply(rows[[9, 0, 5]], rows, out)
    assert out[:, :2].tolist() == [[0, 1], [0, 0], [0, 0]]


def test_the_table_states_the_machine_and_the_shares(capsys: pytest.CaptureFixture[str]) -> None:
    """Rates against the matrix product and FAISS as it comes, and shards against one."""
    report = Report(
        "a processor",
        2,
        "1.15",
        "2.4",
        10,
        [
            Figure("hnsw", 1_000, 32, 5_000.0, 1.25, 7.5, 0.987, 0.654),
            Figure(SGEMM, 1_000, 32, 4_000.0, 1.0, 6.0, None),
        ],
        [Built("hnsw", 1_000, 0.5, 12.0, 3.25, 1.75)],
        [Sharded(1_000, 4, 256, 10.0, 11.5, 2.0, same=True)],
    )
    show(report, Console(width=200))
    said = capsys.readouterr().out
    assert "125 %" in said
    assert "7.50" in said
    assert "0.987" in said
    assert "0.654" in said
    assert "3.25" in said
    assert "1.75" in said
    assert "4 shards 11.5 ms (+15 %)" in said
    assert "same candidates" in said
    assert "a processor; one thread, 2 to build; faiss 1.15" in said


def test_threads_of_blas_have_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read as BLAS is loaded, so the command cannot set them itself."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "OPENBLAS_NUM_THREADS=1" in result.output


def test_every_kind_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A short run over few entries, which are searched exactly, gives every kind at every batch, in the file too."""
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    app = Typer()
    app.command()(main)
    file = tmp_path / "matching.json"
    result = CliRunner().invoke(app, ["--rows", "300", "--seconds", "0.01", "--shards", "4", "--json", str(file)])
    assert result.exit_code == 0, result.output
    report = msgspec.json.decode(file.read_bytes(), type=Report)
    assert {(row.kind, row.batch) for row in report.figures} == {
        (kind, batch) for kind in (*MEANINGS, "flat", "hnsw", "ivf-pq-fastscan") for batch in (1, 32, 256)
    }
    measured = [row for row in report.figures if row.kind != SGEMM]
    assert {recall for row in measured for recall in (row.recall, row.recall_non_mated)} == {1.0}
    assert all(row.per_second > 0 for row in report.figures)
    assert [each.same for each in report.sharded] == [True]


@pytest.mark.parametrize(
    ("kind", "said"), [("annoy", "no kind of index"), ("cagra", "cannot be measured: there is no GpuIndexCagra")]
)
def test_kinds_that_cannot_be_measured_are_refused(kind: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is built; whatever the FAISS and the GPUs of this machine."""
    monkeypatch.setattr(matching, "lacking", lambda index: f"there is no {index}")
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--rows", "300", "--index", kind], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.output


def test_templates_lie_in_groups_and_probes_near_their_own() -> None:
    """Unit vectors; a probe's own template is far above the others."""
    people = Population(3)
    templates = people.templates(2_000)
    probes = people.probes(templates, 200)
    assert np.allclose(np.linalg.norm(templates, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-5)
    products = probes @ templates.T
    highest = np.sort(products, axis=1)
    assert 0.7 < highest[:, -1].mean() < 0.8
    assert highest[:, -2].mean() < 0.6
    own = np.corrcoef(templates, rowvar=False)
    assert np.linalg.eigvalsh(own)[-1] > 2  # evenly drawn directions have none that stands out
    assert np.array_equal(Population(3).templates(2_000), templates)
