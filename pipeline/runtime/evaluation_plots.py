"""The plots of an evaluation: DET curves, and rates by cohort."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final, Protocol

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pipeline.evaluation.cohorts import FEWEST_PEOPLE
from pipeline.evaluation.rate import Rate
from pipeline.runtime.evaluation_results import Evaluation, Result
from pipeline.runtime.plots import FAINT, INK

COLOURS: Final = ("#1f77b4", "#e08e2b", "#2f9e67", "#d62f3c", "#7b5cb8", "#5b6b7a")
LINES: Final = ("-", "--", ":", "-.")
MOST_SERIES: Final = 6


class HasRates(Protocol):
    """A cohort with its rates."""

    @property
    def dimension(self) -> str:
        """What it is a cohort by."""

    @property
    def name(self) -> str:
        """Which cohort of the dimension."""

    @property
    def fpir(self) -> Rate:
        """Rate of false matches."""

    @property
    def tpir(self) -> Rate:
        """Rate of hits."""


def det_plot(evaluation: Evaluation) -> bytes:
    """DET curves as PNG, 1500 × 900 pixels."""
    return _png(det_figure(evaluation))


def det_figure(evaluation: Evaluation) -> Figure:
    """DET curves, both axes logarithmic: colours are difficulties, lines gallery sizes.

    Crosses mark the wanted target as it was met on the people tested, with both intervals.
    """
    figure = Figure(figsize=(10, 6), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(evaluation.options.difficulties)}
    lines = {size: LINES[i % len(LINES)] for i, size in enumerate(evaluation.options.galleries)}
    for result in evaluation.results:
        colour = colours[result.difficulty]
        axes.plot(
            [point.fpir for point in result.det],
            [point.fnir for point in result.det],
            color=colour,
            linestyle=lines[result.gallery],
            drawstyle="steps-post",
            linewidth=2,
            label=f"{result.difficulty}, N = {result.gallery:,}",
        )
        _cross(axes, result, colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        axis.set_minor_locator(NullLocator())
    # limits of their own: a sample too small for any point would leave the logarithmic axes without
    drawn = [point for result in evaluation.results for point in _drawn(result)] or [(0.02, 0.02)]
    axes.set_xlim(0.5 * min(across for across, _ in drawn), 1.0)
    axes.set_ylim(0.5 * min(up for _, up in drawn), 1.0)
    axes.set_xlabel(f"FPIR per {evaluation.options.per}", color=INK)
    axes.set_ylabel("FNIR = 1 - TPIR, rank 1", color=INK)
    _dress(axes, f"Identification errors per {evaluation.options.per}, {evaluation.options.said_pictures} a person")
    axes.legend(frameon=False, fontsize=9.5, labelcolor=INK)
    return figure


def _drawn(result: Result) -> list[tuple[float, float]]:
    """Return FPIR and FNIR of all that is drawn of a result: its curve, and its cross if it has one."""
    cross = _met(result)
    return [
        *((point.fpir, point.fnir) for point in result.det),
        *([] if cross is None else [(cross[0].share, cross[1].share)]),
    ]


def _met(result: Result) -> tuple[Rate, Rate] | None:
    """Return FPIR and FNIR at the threshold of the wanted target; None if either is nought, which has no logarithm."""
    point = result.operating[0]
    if not point.fpir.events or point.tpir.events == point.tpir.trials:
        return None
    return point.fpir, point.tpir.complement


def _cross(axes: Any, result: Result, colour: str) -> None:
    if (rates := _met(result)) is not None:
        across, up = rates
        axes.errorbar(
            [across.share], [up.share], xerr=_bars([across]), yerr=_bars([up]), color=colour, capsize=3, marker="x"
        )


def cohort_plot(evaluation: Evaluation) -> bytes:
    """FPIR and TPIR by cohort as PNG; the first six combinations of difficulty and gallery."""
    per = evaluation.options.per
    series = {f"{each.difficulty}, N = {each.gallery:,}": each.cohorts for each in evaluation.results[:MOST_SERIES]}
    return rates_by_cohort(series, (f"FPIR per {per}", f"TPIR, rank 1, per {per}"))


def rates_by_cohort(series: Mapping[str, Sequence[HasRates]], titles: tuple[str, str]) -> bytes:
    """FPIR and TPIR by cohort with 95 % intervals as PNG, a colour for each of at most six named series.

    A cohort of fewer than 30 people has a row that says so, and no mark.
    """
    names = list(dict.fromkeys((c.dimension, c.name) for cohorts in series.values() for c in cohorts))
    figure = Figure(figsize=(11, 1.6 + 0.42 * len(names)), dpi=150, facecolor="white", layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        told: set[int] = set()
        for number, (label, cohorts) in enumerate(series.items()):
            rates = [(names.index((c.dimension, c.name)), (c.fpir, c.tpir)[panel]) for c in cohorts]
            shown = [(row, rate) for row, rate in rates if rate.people >= FEWEST_PEOPLE]
            told.update(row for row, _ in shown)
            _dots(axes, shown, 0.16 * (number - (len(series) - 1) / 2), COLOURS[number], label)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        _dress(axes, f"{title}, 95 % intervals")
        axes.set_yticks(range(len(names)), [f"{dimension.replace('_', ' ')}: {name}" for dimension, name in names])
        if not told:
            axes.set_xlim(0.0, 1.0)
        for row in set(range(len(names))) - told:
            axes.annotate(
                f"fewer than {FEWEST_PEOPLE} people", (0.02, row), xycoords=("axes fraction", "data"), va="center",
                fontsize=8.5, color=INK, backgroundcolor="white",
            )  # fmt: skip
    panels[0].set_xlim(left=0)
    panels[1].set_xlim(right=1.0)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    handles, labels = panels[1].get_legend_handles_labels()
    handles.append(Line2D([], [], linestyle="none", marker="<", markerfacecolor="white", markeredgecolor=INK))
    labels.append("it never happened: the upper end of the interval")
    figure.legend(handles, labels, frameon=False, fontsize=9, labelcolor=INK, loc="outside lower right", ncols=2)
    return _png(figure)


def _dots(axes: Any, shown: list[tuple[int, Rate]], offset: float, colour: str, label: str) -> None:
    """Draw rates with their intervals; where nothing happened an open mark points down from the upper end."""
    bare = [(row, rate) for row, rate in shown if rate.events == 0]
    full = [(row, rate) for row, rate in shown if rate.events > 0]
    axes.errorbar(
        [rate.share for _, rate in full], [row + offset for row, _ in full], xerr=_bars([rate for _, rate in full]),
        color=colour, fmt="o", markersize=4.5, capsize=2.5, linewidth=1.4, label=label,
    )  # fmt: skip
    axes.scatter(
        [rate.high for _, rate in bare], [row + offset for row, _ in bare], marker="<", s=28,
        facecolor="white", edgecolor=colour,
    )  # fmt: skip


def _bars(rates: list[Rate]) -> list[list[float]]:
    """Return the lengths of the intervals below and above the rates."""
    below = [max(0.0, rate.share - (rate.low or 0.0)) for rate in rates]
    above = [max(0.0, (1.0 if rate.high is None else rate.high) - rate.share) for rate in rates]
    return [below, above]


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK)
    axes.grid(color=FAINT, alpha=0.35, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=INK, length=0)


def _png(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
