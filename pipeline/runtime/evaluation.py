"""The job behind ``lamppost evaluate``: error rates of the shipped eyes on people who do not exist.

Thresholds are chosen with a gallery and probes of the validation population and tested with those of the watchlist and
passers-by, so nobody is in both. Templates of probes are dropped when they have been searched; what is kept are scores
without names, and sums by cohort.
"""

import os
import platform
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pipeline
from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.errors import InputError, SettingsError
from pipeline.evaluation.cohorts import EDGES
from pipeline.runtime.evaluation_plots import cohort_plot, det_plot
from pipeline.runtime.evaluation_probes import (
    Progress,
    Trial,
    Wanted,
    faces,
    passes,
)
from pipeline.runtime.evaluation_rates import Case, assess, columns, search_all, search_non_mated
from pipeline.runtime.evaluation_results import SCHEMA_VERSION, Evaluation, Options, Provenance, Result, write
from pipeline.runtime.evaluation_workers import Workers
from pipeline.runtime.galleries import gallery
from pipeline.runtime.settings import Vision
from pipeline.synthetic.seeds import GROUP_SIZE, SEEDS, Population, ValidationGroups
from pipeline.vision.precision import PRECISIONS
from pipeline.vision.weights import load_manifest, load_weights

PICTURES: Final = 6
LARGE_PICTURES: Final = 2
LARGE: Final = 10_000
"""Galleries above this size are made of fewer pictures a person, if nothing else is said."""
SMALLEST: Final = 2
MOST_PICTURES: Final = 64
PER: Final = ("face", "pass")
ALL: Final = "all"


class Plan(NamedTuple):
    """What to evaluate; `pictures` None takes 6 a person, or 2 if a gallery has more than 10,000.

    `choice_searches` None takes as many searches to choose the threshold on as to test it on, and `choice_gallery` None
    as many entries.
    """

    out: Path
    difficulty: str = "street"
    per: str = "face"
    galleries: tuple[int, ...] = (1000,)
    choice_gallery: int | None = None
    searches: int = 3000
    choice_searches: int | None = None
    seed: int = 0
    target_fpir: float = 1e-3
    pictures: int | None = None
    processes: int = 1
    precision: str = "fp32"
    weights: Path | None = None
    """Folder of the networks that training wrote; None: the shipped ones."""
    shuffle_labels: bool = False
    command: str = "lamppost evaluate"


def evaluate(plan: Plan, progress: Progress) -> Evaluation:
    """Measure, write the files into the folder of the plan, and return what was found.

    Raises SettingsError for a plan that can't be, InputError if the folder can't be used, ModelError without weights.
    """
    options = resolved(plan)
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{plan.out} cannot be a folder ({error.strerror or error}); choose another --out") from error
    with Workers(options.processes) as workers:
        trials = {name: _trial(name, options, plan.seed, workers, progress) for name in options.difficulties}
        # one gallery after the other: a million entries take half a gigabyte
        number = ValidationGroups.CHOICE_GALLERY + plan.seed
        entries = _gallery(Population.VALIDATION, number, options, workers, progress)
        chosen = {
            (name, size): search_non_mated(trial.choice, entries[:size])
            for name, trial in trials.items()
            for size in {options.choice_entries(each) for each in options.galleries}
        }
        del entries
        entries = _gallery(Population.WATCHLIST, plan.seed, options, workers, progress)
    results: list[Result] = []
    scores: dict[str, NDArray[Any]] = {}
    cases = [(name, size) for name in trials for size in options.galleries]
    for name, size in cases:
        progress("searches", len(results), len(cases))
        choice = chosen[name, options.choice_entries(size)]
        searched = search_all(trials[name], entries[:size], plan.seed, plan.shuffle_labels)
        results.append(
            assess(
                Case(name, size, options.choice_entries(size), trials[name], choice, searched),
                options.target_fpir,
                load_manifest(plan.weights).operating_point.threshold,
                np.random.default_rng([plan.seed, size]),
            )
        )
        scores |= columns(f"{name}_{size}", choice, searched)
    progress("searches", len(results), len(cases))
    evaluation = Evaluation(
        schema_version=SCHEMA_VERSION,
        provenance=_provenance(plan),
        options=options,
        histogram_edges=tuple(float(edge) for edge in EDGES),
        results=tuple(results),
    )
    write(plan.out, evaluation, scores, {"det.png": det_plot(evaluation), "cohorts.png": cohort_plot(evaluation)})
    return evaluation


def require_evaluable(vision: Vision) -> None:
    """Raise SettingsError if networks or a device are set that an evaluation would not be of."""
    for name in ("embedder_model", "detector_model"):
        if (path := getattr(vision, name)) is not None:
            raise SettingsError(
                f"vision.{name} is {path}, and an evaluation is of networks that ship or that `lamppost train` wrote; "
                f"leave vision.{name} out to evaluate those (vision.weights names a folder of them)"
            )
    if vision.device not in {"auto", "cpu"}:
        raise SettingsError(
            f"vision.device is {vision.device}, and an evaluation computes on the CPU; set vision.device to cpu or auto"
        )


def resolved(plan: Plan) -> Options:
    """Return the options of a plan with nothing left open; raises SettingsError for what can't be."""
    names = tuple(DIFFICULTIES) if plan.difficulty == ALL else (plan.difficulty,)
    if unknown := [name for name in names if name not in DIFFICULTIES]:
        raise SettingsError(f"--difficulty is {unknown[0]!r}: use one of {', '.join(DIFFICULTIES)}, {ALL}")
    if plan.per not in PER:
        raise SettingsError(f"--per is {plan.per!r}: use one of {', '.join(PER)}")
    galleries = tuple(sorted(set(plan.galleries)))
    if not galleries or galleries[0] < SMALLEST or galleries[-1] > GROUP_SIZE:
        raise SettingsError(f"--gallery is {list(plan.galleries)}: use sizes from {SMALLEST} to {GROUP_SIZE}")
    choice_gallery = galleries[-1] if plan.choice_gallery is None else plan.choice_gallery
    if not SMALLEST <= choice_gallery <= galleries[-1]:
        raise SettingsError(f"--choice-gallery is {choice_gallery}: use {SMALLEST} to {galleries[-1]}, the --gallery")
    most = GROUP_SIZE if plan.per == "face" else galleries[0] * GROUP_SIZE
    if not 1 <= plan.searches <= most:
        raise SettingsError(f"--searches is {plan.searches}: use 1 to {most}")
    choice_searches = plan.searches if plan.choice_searches is None else plan.choice_searches
    if not 1 <= choice_searches <= most:
        raise SettingsError(f"--choice-searches is {choice_searches}: use 1 to {most}")
    if plan.precision not in PRECISIONS:
        raise SettingsError(f"--precision is {plan.precision!r}: use one of {', '.join(PRECISIONS)}")
    if not 0.0 < plan.target_fpir < 1.0:
        raise SettingsError(f"--target-fpir is {plan.target_fpir}: use a rate between 0 and 1, such as 1e-3")
    if not 0 <= plan.seed < SEEDS:
        raise SettingsError(f"--seed is {plan.seed}: use 0 to {SEEDS - 1}")
    if plan.pictures is not None and not 1 <= plan.pictures <= MOST_PICTURES:
        raise SettingsError(f"--pictures is {plan.pictures}: use 1 to {MOST_PICTURES}")
    if plan.processes < 1:
        raise SettingsError(f"--processes is {plan.processes}: use 1 or more")
    return Options(
        difficulties=names,
        per=plan.per,
        galleries=galleries,
        choice_gallery=choice_gallery,
        searches=plan.searches,
        choice_searches=choice_searches,
        target_fpir=plan.target_fpir,
        pictures=plan.pictures or (PICTURES if galleries[-1] <= LARGE else LARGE_PICTURES),
        processes=plan.processes,
        precision=plan.precision,
        weights=None if plan.weights is None else str(plan.weights),
        shuffle_labels=plan.shuffle_labels,
    )


def _trial(name: str, options: Options, seed: int, workers: Workers, progress: Progress) -> Trial:
    probes = faces if options.per == "face" else passes
    wanted = Wanted(
        difficulty=name,
        choice_searches=options.choice_searches,
        searches=options.searches,
        gallery=options.galleries[0],
        seed=seed,
        precision=options.precision,
        weights=_folder(options),
    )
    return probes(wanted, workers, progress)


def _gallery(
    population: Population, number: int, options: Options, workers: Workers, progress: Progress
) -> NDArray[np.float32]:
    if population is Population.VALIDATION:
        kind, size = "gallery, to choose on", options.choice_gallery
    else:
        kind, size = "gallery, tested", options.galleries[-1]
    return gallery(
        population, number, size, options.pictures, workers=workers, progress=partial(progress, kind),
        weights=_folder(options),
    )  # fmt: skip


def _folder(options: Options) -> Path | None:
    return None if options.weights is None else Path(options.weights)


def _provenance(plan: Plan) -> Provenance:
    return Provenance(
        version=pipeline.__version__,
        command=plan.command,
        seed=plan.seed,
        embedder_version=load_weights("embedder", plan.weights).version,
        detector_version=load_weights("detector", plan.weights).version,
        shipped_threshold=load_manifest(plan.weights).operating_point.threshold,
        hardware_threads=os.cpu_count() or 1,
        machine=f"{platform.system()} {platform.machine()}",
    )
