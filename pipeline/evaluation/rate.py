"""A rate as it may be said: with its counts, its people, its interval, and never below what the sample supports."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.intervals import clopper_pearson, cluster_bootstrap, effective_trials

Method = Literal[
    "clopper-pearson",
    "bootstrap over people",
    "clopper-pearson over people",
    "clopper-pearson, effective searches",
    "none",
]

RULE_OF_THREE: Final = 3.0
"""With no event in n independent trials the rate is below 3/n with 95 % confidence (Hanley and Lippman-Hand 1983)."""
SLACK: Final = 1e-9
"""3e-4 · 10,000 is 3 as well, though not in binary."""
FEWEST: Final = 30
"""The rule of three holds from about so many on."""
FEWEST_EVENTS: Final = 3
"""A rate of fewer events is never given without their count, and no point of a curve, which has no interval."""
FEWEST_DIFFERING: Final = 10
"""A bootstrap has its coverage from about so many people on who had the event, and who did not have it throughout."""


def supports(people: int, share: float) -> bool:
    """Return whether searches of so many people can show that a share of them, or less, has the event."""
    return people * share >= RULE_OF_THREE - SLACK


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
        """The rate in words: a share, "< 3/n" if nothing happened, "> 1 - 3/n" if nothing else did.

        A share of fewer than three events, or of all but so few trials, has its count before it: "2 of 10003 = 0.02%".
        """
        if not self.trials:
            return "no trials"
        if self.people < FEWEST and self.events in {0, self.trials}:
            return f"{self.events} of {self.trials}"
        if self.events == 0:
            return f"< 3/{self.people} = {percent(RULE_OF_THREE / self.people)}"
        if self.events == self.trials:
            return f"> 1 - 3/{self.people} = {percent(1.0 - RULE_OF_THREE / self.people)}"
        few = min(self.events, self.trials - self.events) < FEWEST_EVENTS
        return (f"{self.events} of {self.trials} = " if few else "") + percent(self.share)

    @property
    def interval(self) -> str:
        """The interval in words."""
        return "-" if self.low is None or self.high is None else f"{percent(self.low)} to {percent(self.high)}"

    @property
    def said(self) -> str:
        """The rate and its interval in words."""
        return f"{self.text} ({self.interval})"

    @property
    def complement(self) -> "Rate":
        """The rate of the other outcome: misses for hits."""
        if self.low is None or self.high is None:
            return self
        events = self.trials - self.events
        rate = None if self.rate is None else 1 - self.rate
        return Rate(events, self.trials, self.people, rate, 1 - self.high, 1 - self.low, self.method)


def percent(share: float) -> str:
    """Return a share 0 … 1 as a percentage with three significant digits, near 100 with two of what lacks."""
    value = 100.0 * share
    if 99.0 < value < 100.0:
        return f"{value:.{max(2, 1 - math.floor(math.log10(100.0 - value) + 1e-9))}f}%"
    return f"{value:.3g}%" if value >= 1e-3 or value == 0.0 else f"{value:.1e}%"


def independent_rate(events: int, trials: int) -> Rate:
    """Return the rate of an event among searches that are each of another person, by Clopper and Pearson."""
    if not trials:
        return Rate(0, 0, 0, None, None, None, "none")
    rate = None if events in {0, trials} else events / trials
    return Rate(events, trials, trials, rate, *clopper_pearson(events, trials), "clopper-pearson")


def rate_of(happened: NDArray[np.bool_], person: NDArray[np.int64], rng: np.random.Generator) -> Rate:
    """Return the rate of an event, bool[M], among searches of people, int64[M].

    With one search a person the interval is Clopper and Pearson's. Otherwise people are drawn again (bootstrap), unless
    fewer than ten had the event, or were without it at some time: what is drawn then is mostly nobody, and the interval
    too narrow. It is Clopper and Pearson's then with an effective number of searches.
    """
    trials, events = len(happened), int(happened.sum())
    _, dense = np.unique(person, return_inverse=True)
    per_person = np.bincount(dense).astype(np.int64)
    people = len(per_person)
    if people == trials:
        return independent_rate(events, trials)
    rate = None if events in {0, trials} else events / trials
    per_events = np.bincount(dense, weights=happened).astype(np.int64)
    few_had = int(np.count_nonzero(per_events)) < FEWEST_DIFFERING
    few_had_not = int(np.count_nonzero(per_events < per_person)) < FEWEST_DIFFERING
    if few_had or few_had_not:
        method: Method = "clopper-pearson over people" if rate is None else "clopper-pearson, effective searches"
        return Rate(events, trials, people, rate, *_of_few(per_events, per_person, few_had, few_had_not), method)
    return Rate(events, trials, people, rate, *cluster_bootstrap(per_events, per_person, rng), "bootstrap over people")


def _of_few(
    events: NDArray[np.int64], trials: NDArray[np.int64], few_had: bool, few_had_not: bool
) -> tuple[float, float]:
    """Return the interval of a rate from events and trials by person, int64[P], of which one kind is of few people.

    Towards a greater rate of what few had it is as if each person had been searched for once: the few do not show how
    their searches go together, and people of whom all would be missed may not be in the sample. So no event leaves as
    much open as the rule of three says, and each further event more. The other end has the design effect of the sample.
    """
    share = float(events.sum() / trials.sum())
    people, effective = float(len(trials)), effective_trials(events, trials)
    below, above = people if few_had_not else effective, people if few_had else effective
    return clopper_pearson(share * below, below)[0], clopper_pearson(share * above, above)[1]
