"""Evaluations of several seeds brought together: sums that can be counted, and what does not belong together."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from loadtest.pooled import SAME_OPTIONS, SAME_PROVENANCE, Part, main, pool, read
from pipeline.errors import InputError
from pipeline.evaluation.rate import rate_of
from pipeline.evaluation.searches import Mated, NonMated
from pipeline.runtime.evaluation_rates import Searched, columns
from pipeline.runtime.evaluation_results import Evaluation, Options, Provenance, Result, Sample

CHOOSING, TESTING, LISTED = 40, 30, 10
SHIPPED = 0.9


def evaluation(seed: int) -> Evaluation:
    """An evaluation per pass of a gallery of ten with a choice of five, without its figures."""
    nobody = Sample(
        searches=0, people=0, frames=0, not_acquired=rate_of(np.ones(1, bool), np.arange(1), np.random.default_rng(0))
    )
    return Evaluation(
        schema_version=1,
        provenance=Provenance(
            version="0", command="", seed=seed, embedder_version="e", detector_version="d", shipped_threshold=SHIPPED,
            hardware_threads=1, machine="",
        ),
        options=Options(
            difficulties=("street",), per="pass", galleries=(10,), choice_gallery=5, searches=TESTING,
            choice_searches=CHOOSING, target_fpir=0.1, pictures=1, processes=1, precision="fp32", weights=None,
            shuffle_labels=False,
        ),
        histogram_edges=(),
        results=(
            Result(
                difficulty="street", gallery=10, choice_gallery=5, choice=nobody, non_mated=nobody, mated=nobody,
                mated_beyond_distance=0, boxes_on_no_face=0, boxes_on_no_face_over_threshold=0, operating=(), det=(),
                cohorts=(), differentials=(),
            ),
        ),
    )  # fmt: skip


def in_two_frames(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores of the frames of passes that score nothing at first, and this then."""
    return np.stack([np.zeros(len(scores)), scores], axis=1).ravel().astype(np.float32)


def part(seed: int, lowest: float = 0.0) -> Part:
    """To choose on, 40 people evenly from `lowest` to 1; to test on, 30 from 0 to 0.99; listed, ten who pass twice.

    The listed ones score evenly from 0.5 to 1, and the best of their passes is somebody else's at rank 1.
    """
    choice, tested, listed = np.arange(CHOOSING), np.arange(TESTING), np.arange(2 * LISTED)
    own = np.linspace(0.5, 1.0, 2 * LISTED)
    searched = Searched(
        NonMated(
            in_two_frames(np.linspace(0.0, 0.99, TESTING)), np.repeat(tested, 2), np.repeat(tested[::-1].copy(), 2)
        ),
        Mated(in_two_frames(own), np.repeat(own < 1.0, 2), np.repeat(listed % LISTED, 2), np.repeat(listed, 2)),
        np.empty(0, np.float32),
    )
    chosen = NonMated(
        in_two_frames(np.linspace(lowest, 1.0, CHOOSING)), np.repeat(choice, 2), np.repeat(choice[::-1].copy(), 2)
    )
    return Part(evaluation(seed), dict(columns("street_10", chosen, searched)))


def other(changed: str, value: object) -> Part:
    """An evaluation of another seed that differs in an option or in where it comes from."""
    made = part(2)
    of = "options" if changed in Options.__struct_fields__ else "provenance"
    replaced = msgspec.structs.replace(getattr(made.evaluation, of), **{changed: value})
    return made._replace(evaluation=msgspec.structs.replace(made.evaluation, **{of: replaced}))


def kept(folder: Path, made: Part) -> Path:
    """The folder as `lamppost evaluate` leaves it, of what is read here."""
    folder.mkdir()
    (folder / "evaluation.json").write_bytes(msgspec.json.encode(made.evaluation))
    np.savez_compressed(folder / "scores.npz", allow_pickle=False, **made.scores)
    return folder


def test_thresholds_are_chosen_on_all_and_tested_on_all_others() -> None:
    """Of eighty people the share of a half gallery lets four through, and those are not one seed's alone."""
    (found,) = pool([part(2, lowest=0.4), part(1)])
    assert (found.difficulty, found.gallery, found.choice_gallery) == ("street", 10, 5)
    point = found.points[0]
    assert point.chosen is not None
    assert (point.chosen.people, point.chosen.trials, point.chosen.target) == (80, 80, 0.1)
    fifth = in_two_frames(np.linspace(0.4, 1.0, CHOOSING))[-5]  # 1, 1, 0.985, 0.974, and this
    assert point.threshold == np.nextafter(fifth, np.float32(2))
    assert (point.fpir.events, point.fpir.trials, point.fpir.people) == (2, 60, 60)
    assert (point.tpir.events, point.tpir.trials, point.tpir.people) == (2, 40, 20)
    assert [(each.seed, each.fpir.events, each.tpir.events) for each in point.seeds] == [(1, 1, 1), (2, 1, 1)]
    shipped = found.points[-1]
    assert (shipped.threshold, shipped.chosen) == (SHIPPED, None)
    reached = int((np.linspace(0.5, 1.0, 2 * LISTED) >= SHIPPED).sum()) - 1  # the best is not at rank 1
    assert [each.tpir.events for each in shipped.seeds] == [reached, reached]


def test_people_of_two_seeds_are_different_people() -> None:
    """Both number theirs from 0; the interval is of one search a person, and of several of those who pass twice."""
    (found,) = pool([part(1), part(2)])
    assert (found.points[0].fpir.method, found.points[0].fpir.people) == ("clopper-pearson", 2 * TESTING)
    assert found.points[0].tpir.method == "clopper-pearson, effective searches"


@pytest.mark.parametrize("changed", [*SAME_OPTIONS, *SAME_PROVENANCE])
def test_what_differs_in_more_than_the_seed_is_refused_by_name(changed: str) -> None:
    """With both values and the seeds."""
    with pytest.raises(InputError, match=f"{changed} is .* with --seed 1 and another with --seed 2"):
        pool([part(1), other(changed, "another")])


def test_numbers_of_searches_may_differ() -> None:
    """A part that another machine made in less time belongs to the others."""
    less = other("searches", 7)
    for name in ("best", "person", "pass"):
        less.scores[f"street_10_nonmated_{name}"] = less.scores[f"street_10_nonmated_{name}"][:14]
    (found,) = pool([part(1), less])
    assert found.points[0].fpir.trials == TESTING + 7


@pytest.mark.parametrize(("seeds", "said"), [((3,), "two or more"), ((3, 4, 3), "--seed 3 is there twice")])
def test_seeds_are_different_and_more_than_one(seeds: tuple[int, ...], said: str) -> None:
    """The same people again are no further people."""
    with pytest.raises(InputError, match=said):
        pool([part(seed) for seed in seeds])


def test_the_command_prints_all_and_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes the same to a file."""
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    app.command()(main)
    folders = [str(kept(tmp_path / str(seed), part(seed))) for seed in (1, 2)]
    done = CliRunner().invoke(app, [*folders, "--json", str(tmp_path / "pooled.json")])
    assert done.exit_code == 0, done.output
    assert "street, galleries of 10, chosen with 5" in done.output
    assert "seed 1" in done.output
    assert "seed 2" in done.output
    (written,) = msgspec.json.decode((tmp_path / "pooled.json").read_bytes())
    assert written["points"][0]["fpir"]["trials"] == 2 * TESTING
    assert written["options"]["per"] == "pass"


def _nothing(folder: Path) -> None:
    (folder / "evaluation.json").unlink()


def _other_json(folder: Path) -> None:
    (folder / "evaluation.json").write_text("{}")


def _no_scores(folder: Path) -> None:
    (folder / "scores.npz").unlink()


def _cut_off(folder: Path) -> None:
    (folder / "scores.npz").write_bytes((folder / "scores.npz").read_bytes()[:40])


def _empty(folder: Path) -> None:
    (folder / "scores.npz").write_bytes(b"")


def _damaged(folder: Path) -> None:
    whole = bytearray((folder / "scores.npz").read_bytes())
    whole[60:200] = bytes(140)
    (folder / "scores.npz").write_bytes(whole)


def _one_array(folder: Path) -> None:
    with (folder / "scores.npz").open("wb") as file:
        np.save(file, np.zeros(3))


def _not_columns(folder: Path) -> None:
    (folder / "scores.npz").write_text("scores")


@pytest.mark.parametrize(
    "spoil", [_nothing, _other_json, _no_scores, _cut_off, _empty, _damaged, _one_array, _not_columns]
)
def test_a_folder_that_cannot_be_read_is_one_clear_error(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    """It names the file."""
    folder = kept(tmp_path / "one", part(1))
    spoil(folder)
    with pytest.raises(InputError, match=r"evaluation\.json|scores\.npz"):
        read(folder)


def test_scores_that_lack_a_column_are_named() -> None:
    """As those of a damaged file."""
    lacking = part(2)
    scores = {name: column for name, column in lacking.scores.items() if name != "street_10_mated_own"}
    with pytest.raises(InputError, match=r"--seed 2 lacks the column 'street_10_mated_own'"):
        pool([part(1), lacking._replace(scores=scores)])
    scores["street_10_mated_own"] = np.zeros(3, np.float32)
    with pytest.raises(InputError, match=r"--seed 2, street_10: the columns of searches have \[3, 40, 40, 40\] rows"):
        pool([part(1), lacking._replace(scores=scores)])
