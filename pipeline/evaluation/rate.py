"""A rate as it may be said: with its counts, its people, its interval, and never below what the sample supports."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.intervals import clopper_pearson, cluster_bootstrap

Method = Literal["clopper-pearson", "bootstrap over people", "clopper-pearson over people", "none"]

RULE_OF_THREE: Final = 3.0
"""With no event in n independent trials the rate is below 3/n with 95 % confidence (Hanley and Lippman-Hand 1983)."""
FEWEST: Final = 30
"""The rule of three holds from about so many on."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Events among trials by so many people, and the 95 % interval, shares 0 … 1; None without a trial.

    `rate` is None, too, where nothing or only that happened: the sample supports a bound then, and no rate.
    """

    events: int
    trials: int
    people: int
    rate: float | None
    low: float | None
    high: float | None
    method: Method

    @property
    def share(self) -> float:
        """Events ÷ trials whatever the sample supports; NaN without a trial. For sorting and drawing."""
        return self.events / self.trials if self.trials else float("nan")

    @property
    def text(self) -> str:
        """The rate in words: a share, "< 3/n" if nothing happened, "> 1 - 3/n" if nothing else did."""
        if not self.trials:
            return "no trials"
        if self.people < FEWEST and self.events in {0, self.trials}:
            return f"{self.events} of {self.trials}"
        if self.events == 0:
            return f"< 3/{self.people} = {percent(RULE_OF_THREE / self.people)}"
        if self.events == self.trials:
            return f"> 1 - 3/{self.people} = {percent(1.0 - RULE_OF_THREE / self.people)}"
        return percent(self.share)

    @property
    def interval(self) -> str:
        """The interval in words."""
        return "-" if self.low is None or self.high is None else f"{percent(self.low)} to {percent(self.high)}"

    @property
    def complement(self) -> "Rate":
        """The rate of the other outcome: misses for hits."""
        if self.low is None or self.high is None:
            return self
        events = self.trials - self.events
        rate = None if self.rate is None else 1 - self.rate
        return Rate(events, self.trials, self.people, rate, 1 - self.high, 1 - self.low, self.method)


def percent(share: float) -> str:
    """Return a share 0 … 1 as a percentage with three significant digits."""
    value = 100.0 * share
    if 99.0 < value < 100.0:
        return f"{value:.2f}%"
    return f"{value:.3g}%" if value >= 1e-3 or value == 0.0 else f"{value:.1e}%"


def rate_of(happened: NDArray[np.bool_], person: NDArray[np.int64], rng: np.random.Generator) -> Rate:
    """Return the rate of an event, bool[M], among searches of people, int64[M].

    With one search a person the interval is Clopper and Pearson's. Otherwise people are drawn again (bootstrap); where
    nothing or only that happened a bootstrap would have no width, and the interval is that of as many trials as people.
    """
    trials, events = len(happened), int(happened.sum())
    if not trials:
        return Rate(0, 0, 0, None, None, None, "none")
    _, dense = np.unique(person, return_inverse=True)
    per_person = np.bincount(dense)
    people = len(per_person)
    rate = None if events in {0, trials} else events / trials
    if people == trials:
        return Rate(events, trials, people, rate, *clopper_pearson(events, trials), "clopper-pearson")
    if rate is None:
        ends = clopper_pearson(0 if events == 0 else people, people)
        return Rate(events, trials, people, rate, *ends, "clopper-pearson over people")
    per_events = np.bincount(dense, weights=happened).astype(np.int64)
    ends = cluster_bootstrap(per_events, per_person.astype(np.int64), rng)
    return Rate(events, trials, people, rate, *ends, "bootstrap over people")
