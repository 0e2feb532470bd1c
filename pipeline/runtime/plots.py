"""The demo's latency plot."""

from io import BytesIO
from typing import Any, Final

import msgspec
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

INK: Final = "#1f2933"
FAINT: Final = "#9aa5b1"
P50: Final = "#1f77b4"
P95: Final = "#5aa6d8"
P99: Final = "#a9d2ee"
QUEUE: Final = "#e08e2b"
ALERT: Final = "#d62f3c"


class LatencySeries(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of a run over time, all in seconds; NaN where a second had no frame."""

    at: NDArray[np.float64]
    """float64[N], rising: the middle of each interval, from the cameras' start."""
    p50: NDArray[np.float64]
    """float64[N]: glass-to-alert latency of the frames committed in the interval."""
    p95: NDArray[np.float64]
    p99: NDArray[np.float64]
    queue_age: NDArray[np.float64]
    """float64[N]: 95th percentile of append to consume."""
    alert_at: NDArray[np.float64]
    """float64[M]: when each alert was made, from the cameras' start."""
    alert_latency: NDArray[np.float64]
    """float64[M]: its glass-to-alert latency."""


def latency_plot(series: LatencySeries, *, title: str, objective: float | None = None) -> bytes:
    """Glass-to-alert latency and queue age over time as PNG, 1500 × 780 pixels, alerts marked.

    `objective` draws a line at a latency in seconds. The vertical axis is logarithmic, in milliseconds.
    """
    figure = Figure(figsize=(10, 5.2), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    at = series.at
    axes.fill_between(at, series.p50 * 1e3, series.p99 * 1e3, color=P99, alpha=0.35, linewidth=0)
    axes.plot(at, series.p50 * 1e3, color=P50, linewidth=2.2, label="glass to alert, p50")
    axes.plot(at, series.p95 * 1e3, color=P95, linewidth=1.4, label="p95")
    axes.plot(at, series.p99 * 1e3, color=P99, linewidth=1.4, label="p99")
    axes.plot(at, series.queue_age * 1e3, color=QUEUE, linewidth=1.4, linestyle="--", label="queue age, p95")
    if series.alert_at.size:
        axes.scatter(
            series.alert_at, series.alert_latency * 1e3, s=34, color=ALERT, edgecolor="white", linewidth=0.8, zorder=5,
            label=f"alerts ({series.alert_at.size})",
        )  # fmt: skip
    if objective is not None:
        axes.axhline(objective * 1e3, color=INK, linewidth=1.0, linestyle=(0, (2, 3)))
        axes.annotate(
            f"objective {objective:g} s", (0.004, objective * 1e3), xycoords=("axes fraction", "data"),
            xytext=(0, 4), textcoords="offset points", fontsize=9, color=INK,
        )  # fmt: skip
    _dress(axes, title)
    low, high = _limits(series, objective)
    axes.set_ylim(low, high)
    axes.set_xlim(0, 1.01 * float(np.max(np.concatenate([at, series.alert_at, [1.0]]))))
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _dress(axes: Any, title: str) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _duration(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("seconds since the cameras started", color=INK)
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=30)
    axes.grid(axis="y", color=FAINT, alpha=0.35, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=INK, length=0)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.008, 1.0), ncols=6, frameon=False, fontsize=9.5, handlelength=1.6,
        columnspacing=1.4, labelcolor=INK,
    )  # fmt: skip


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:g} s"


def _limits(series: LatencySeries, objective: float | None) -> tuple[float, float]:
    """Bounds of the vertical axis in milliseconds: all that was measured and the objective, with some air."""
    values = np.concatenate([series.p50, series.p99, series.queue_age, series.alert_latency, [objective or np.nan]])
    values = values[np.isfinite(values) & (values > 0)] * 1e3
    if not values.size:
        return 10.0, 1000.0
    return max(1.0, float(values.min()) * 0.75), float(values.max()) * 1.45
