"""The whole evaluation with the shipped weights on a few people, recomputed from what it wrote."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.catalog.difficulties import STUDIO
from pipeline.errors import InputError, SettingsError
from pipeline.evaluation.exact import search
from pipeline.runtime.evaluation import Plan, evaluate, resolved
from pipeline.runtime.evaluation_results import Evaluation
from pipeline.runtime.evaluation_workers import EnrolmentTask, enrol_people
from pipeline.synthetic.faces import aligned_pose, draw, enrolment_views, head
from pipeline.synthetic.identities import identity
from pipeline.synthetic.light import studio_light
from pipeline.synthetic.looks import Look, look
from pipeline.synthetic.seeds import Population, Purpose, generator, group
from pipeline.vision.enrolment import enrol
from pipeline.vision.eyes import load_eyes

DOCS = Path(__file__).resolve().parents[2] / "docs"
GALLERY = 24
SEARCHES = 40
SMALL = {"difficulty": "studio", "galleries": (12, GALLERY), "searches": SEARCHES, "pictures": 2, "target_fpir": 0.1}


SWAPPED = (
    "glasses", "glasses_width", "glasses_height", "glasses_square", "glasses_rim", "cap", "headscarf",
    "hair_volume", "hair_length", "hair_wave", "baldness", "fringe",
)  # fmt: skip


class Run(NamedTuple):
    """An evaluation and what it wrote."""

    folder: Path
    found: Evaluation
    scores: dict[str, NDArray[Any]]


def run(folder: Path, shuffle: bool) -> Run:
    plan = Plan(out=folder, seed=11, shuffle_labels=shuffle, **SMALL)  # type: ignore[arg-type]  # one of each kind
    found = evaluate(plan, lambda stage, done, total: None)
    with np.load(folder / "scores.npz", allow_pickle=False) as file:
        return Run(folder, found, dict(file))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the user's for these tests alone."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Run:
    """One evaluation for all tests that look at what was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        return run(tmp_path_factory.mktemp("evaluation"), shuffle=False)


def test_threshold_and_rates_follow_from_the_written_scores(small: Run) -> None:
    """The threshold of the target from the scores it was chosen on, both rates from those it was tested on."""
    for result in small.found.results:
        name = f"studio_{result.gallery}"
        choice = np.sort(small.scores[f"{name}_choice_best"])[::-1]
        point = result.operating[0]
        assert point.threshold == np.nextafter(choice[int(0.1 * SEARCHES)], np.float32(np.inf))
        assert point.fpir.events == int((small.scores[f"{name}_nonmated_best"] >= np.float32(point.threshold)).sum())
        hits = (small.scores[f"{name}_mated_own"] >= np.float32(point.threshold)) & small.scores[
            f"{name}_mated_rank_one"
        ]
        assert point.tpir.events == int(hits.sum())
        assert (point.fpir.trials, point.tpir.trials) == (SEARCHES, SEARCHES)
        assert (point.fpir.method, point.tpir.people) == ("clopper-pearson", 12)


def test_a_larger_gallery_has_higher_non_mated_scores(small: Run) -> None:
    """The same probes, more entries: the best can only rise."""
    small_best, large_best = (small.scores[f"studio_{size}_nonmated_best"] for size in (12, GALLERY))
    assert np.all(large_best >= small_best - 1e-6)
    assert np.any(large_best > small_best)


def test_the_networks_are_far_above_chance(small: Run) -> None:
    """In studio light nearly everybody is first among two dozen."""
    assert small.scores[f"studio_{GALLERY}_mated_rank_one"].mean() > 0.8


def test_no_template_is_written(small: Run) -> None:
    """Scores, numbers and flags of one dimension; people are numbered from 0, not named by their seed."""
    assert all(column.ndim == 1 for column in small.scores.values())
    assert {column.dtype.name for column in small.scores.values()} <= {"float32", "int64", "bool"}
    assert all(
        set(column.tolist()) == set(range(len(set(column.tolist()))))
        for name, column in small.scores.items()
        if name.endswith("_person")
    )


def test_the_files_say_the_same(small: Run) -> None:
    """JSON, tables and plots are there, with where they come from."""
    written = msgspec.json.decode((small.folder / "evaluation.json").read_bytes(), type=Evaluation)
    assert written == small.found
    assert written.provenance.seed == 11
    assert written.options.pictures == 2
    with (small.folder / "rates.csv").open(encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert int(first["events"]) == written.results[0].operating[0].fpir.events
    with (small.folder / "cohorts.csv").open(encoding="utf-8") as file:
        cohorts = list(csv.DictReader(file))
    for dimension in ("skin", "glasses", "covering", "age_look"):
        rows = [r for r in cohorts if (r["dimension"], r["rate"], r["gallery"]) == (dimension, "FPIR", str(GALLERY))]
        assert sum(int(row["searches"]) for row in rows) == SEARCHES
    for plot in ("det.png", "cohorts.png"):
        assert (small.folder / plot).read_bytes().startswith(b"\x89PNG")


def test_the_json_fits_the_committed_schema(small: Run) -> None:
    """Other programs read the file by docs/evaluation.schema.json."""
    schema = json.loads((DOCS / "evaluation.schema.json").read_text(encoding="utf-8"))
    written = json.loads((small.folder / "evaluation.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(written)
    del written["provenance"]["embedder_version"]
    with pytest.raises(jsonschema.ValidationError, match="embedder_version"):
        jsonschema.Draft202012Validator(schema).validate(written)


def test_shuffled_labels_fall_to_chance(
    small: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's entry is hardly ever first; the non-mated searches are the same as before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    shuffled = run(tmp_path, shuffle=True)
    hits = int(shuffled.scores[f"studio_{GALLERY}_mated_rank_one"].sum())
    assert hits <= 6  # of 40 at a chance of 1 in 24
    assert shuffled.found.options.shuffle_labels
    np.testing.assert_array_equal(
        shuffled.scores[f"studio_{GALLERY}_nonmated_best"], small.scores[f"studio_{GALLERY}_nonmated_best"]
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"difficulty": "fog"}, "--difficulty"),
        ({"per": "frame"}, "--per"),
        ({"galleries": (1,)}, "--gallery"),
        ({"galleries": (1 << 21,)}, "--gallery"),
        ({"choice_gallery": 1}, "--choice-gallery"),
        ({"galleries": (50, 100), "choice_gallery": 101}, "--choice-gallery"),
        ({"searches": 0}, "--searches"),
        ({"choice_searches": 0}, "--choice-searches"),
        ({"precision": "fp16"}, "--precision"),
        ({"target_fpir": 1.0}, "--target-fpir"),
        ({"seed": -1}, "--seed"),
        ({"pictures": 0}, "--pictures"),
        ({"processes": 0}, "--processes"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(change: dict[str, object], named: str, tmp_path: Path) -> None:
    """Before anything is rendered."""
    with pytest.raises(SettingsError, match=named):
        resolved(Plan(out=tmp_path)._replace(**change))  # type: ignore[arg-type]  # wrong on purpose


def test_the_choice_may_have_other_searches_than_the_test(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the probes another precision than the entries."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    few = {**SMALL, "searches": 10, "choice_searches": 30}
    found = evaluate(Plan(out=tmp_path, seed=11, precision="bf16", **few), lambda stage, done, total: None)  # type: ignore[arg-type]  # one of each kind
    assert {(each.choice.searches, each.non_mated.searches) for each in found.results} == {(30, 10)}
    assert found.options.precision == "bf16"


def test_the_choice_may_have_a_smaller_gallery_than_the_test(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its searches are those in the smaller one, of which as many may reach the threshold as either half's share is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    plan = Plan(out=tmp_path, seed=11, choice_gallery=12, **SMALL)  # type: ignore[arg-type]  # one of each kind
    halved, whole = evaluate(plan, lambda stage, done, total: None).results
    assert (halved.gallery, halved.choice_gallery, whole.gallery, whole.choice_gallery) == (12, 12, GALLERY, 12)
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as scores:
        choice = np.sort(scores[f"studio_{GALLERY}_choice_best"])[::-1]
        np.testing.assert_array_equal(choice, np.sort(scores["studio_12_choice_best"])[::-1])
        assert np.any(scores[f"studio_{GALLERY}_nonmated_best"] > scores["studio_12_nonmated_best"] + 1e-6)
    for result, allowed in ((halved, 0.1 * SEARCHES), (whole, (1 - 0.9**0.5) * SEARCHES)):
        assert result.operating[0].threshold == np.nextafter(choice[int(allowed)], np.float32(np.inf))
    with (tmp_path / "rates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    said = {(row["gallery"], row["target_fpir"], row["choice_gallery"]) for row in rows}
    assert {("12", "0.1", "12"), (str(GALLERY), "0.1", "12"), (str(GALLERY), "shipped", "")} <= said


def test_people_who_are_enrolled_together_have_the_templates_of_each_alone() -> None:
    """In more batches than one, the last of them not full."""
    embedder = load_eyes(threads=1, precision="fp32").embedder
    people = group(Population.WATCHLIST, 4, 5)
    alone = [enrol(embedder, enrolment_views(identity(person), 30)) for person in people]
    np.testing.assert_allclose(enrol_people(EnrolmentTask(people, 30)), alone, atol=1e-5)


def test_a_choice_has_as_large_a_gallery_unless_told(tmp_path: Path) -> None:
    """The largest that is tested."""
    plan = Plan(out=tmp_path, galleries=(10, 1000, 100))
    assert resolved(plan).choice_gallery == 1000
    assert resolved(plan._replace(choice_gallery=100)).choice_gallery == 100


def test_large_galleries_are_made_of_fewer_pictures_unless_told(tmp_path: Path) -> None:
    """And all galleries of one evaluation of as many."""
    plan = Plan(out=tmp_path)
    assert resolved(plan).pictures == 6
    assert resolved(plan._replace(galleries=(1000, 100_000))).pictures == 2
    assert resolved(plan._replace(galleries=(100_000,), pictures=6)).pictures == 6


def test_a_folder_that_is_a_file_is_an_input_error(tmp_path: Path) -> None:
    """Said before the work, not after it."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="--out"):
        evaluate(Plan(out=tmp_path / "taken"), lambda stage, done, total: None)


def seen(person: int, appearance: Look) -> NDArray[np.uint8]:
    """An aligned studio picture of a person with a look, from the front."""
    subject = head(identity(person), appearance)
    crop = np.full((112, 112, 3), 140, np.uint8)
    draw(crop, subject, aligned_pose(subject, 0.0, 6.0), studio_light(generator(Purpose.VIEW, person)))
    return crop


def test_accessories_swapped_between_two_people_do_not_swap_them() -> None:
    """With the other's glasses, cap, headscarf, haircut and hair colour the nearest template is still the person's."""
    embedder = load_eyes().embedder
    people = group(Population.WATCHLIST, 23, 12)
    templates = np.stack([enrol(embedder, enrolment_views(identity(person), 3)) for person in people])
    looks = [look(identity(person), generator(Purpose.LOOK, 5, person), STUDIO) for person in people]
    quiet = {"jaw_open": 0.0, "smile": 0.0, "brow_raise": 0.0, "eye_closure": 0.1, "beard": 0.0, "moustache": 0.0}
    worn = [{"glasses": 1.0, "cap": 0.0, "headscarf": 0.0}, {"glasses": 0.0, "cap": 1.0, "headscarf": 0.0}]
    looks = [replace(each, style=each.style._replace(**quiet, **worn[number % 2])) for number, each in enumerate(looks)]
    crops = []
    for number, person in enumerate(people):
        own, other = looks[number], looks[number ^ 1]
        hair = {name: getattr(other.style, name) for name in SWAPPED}
        swapped = replace(
            own,
            style=own.style._replace(**hair),
            hair_colour=other.hair_colour,
            cap_colour=other.cap_colour,
            rim_colour=other.rim_colour,
        )
        crops.append(seen(person, swapped))
    answers = search(embedder.embed(np.stack(crops)), templates)
    own_first = answers.row == np.arange(len(people))
    other_first = answers.row == (np.arange(len(people)) ^ 1)
    assert not other_first.any()
    assert own_first.mean() >= 0.9
