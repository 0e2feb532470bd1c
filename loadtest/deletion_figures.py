"""What becomes of canaries in a broker's files, and what that says of the promises: pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec

GIVEN_UP: Final = 2.0
"""Times the promise: a canary that is there for longer is not waited for."""


@dataclass(slots=True)
class Canary:
    """Bytes that were written into a topic, and when they had to begin to go."""

    what: str
    content: bytes
    promised: float | None
    """Seconds within which it is to be gone; None: it is to stay, which shows that the search finds what is there."""
    since: float | None = None
    """Monotonic seconds of its append, or of its removal; None before."""
    published: bool = False
    seen: bool = False
    gone_at: float | None = None

    def note(self, there: bool, now: float) -> None:
        """Take in one search, which ended at `now`; once it has gone it is not looked for any more."""
        if there:
            self.seen = True
        elif self.seen:
            self.gone_at = now

    def awaited(self, now: float) -> bool:
        """Whether it is still to go, or to be written or removed first."""
        if self.promised is None or self.gone_at is not None:
            return False
        return self.since is None or now < self.since + GIVEN_UP * self.promised


class Figure(msgspec.Struct, frozen=True):
    """What became of canaries of one kind; seconds from append or removal to the first search without them."""

    what: str
    canaries: int
    seen: int
    """Found in the files first."""
    gone: int
    least: float | None
    middle: float | None
    most: float | None
    promised: float | None
    """None: they are to stay."""

    @property
    def reached(self) -> bool:
        """Whether all were there and all went in time; or stayed, if they were to."""
        if not self.canaries or self.seen < self.canaries:
            return False
        if self.promised is None:
            return self.gone == 0
        return self.gone == self.canaries and self.most is not None and self.most <= self.promised


def figures(canaries: Iterable[Canary]) -> list[Figure]:
    """One for each kind, in the order in which they come."""
    kinds: dict[str, list[Canary]] = {}
    for canary in canaries:
        kinds.setdefault(canary.what, []).append(canary)
    return [_figure(what, kind) for what, kind in kinds.items()]


def line(figure: Figure) -> str:
    """One figure in words."""
    there = f"{figure.what}: {figure.seen} of {figure.canaries} found in the files first"
    if figure.promised is None:
        return f"{there}; {figure.canaries - figure.gone} still there at the end, as {_word(figure)}"
    if figure.least is None or figure.middle is None or figure.most is None:
        return f"{there}; none went; target {figure.promised:g} s: {_word(figure)}"
    return (
        f"{there}, {figure.gone} gone after {figure.least:.1f} to {figure.most:.1f} s (median {figure.middle:.1f} s); "
        f"target {figure.promised:g} s: {_word(figure)}"
    )


def _word(figure: Figure) -> str:
    if figure.promised is None:
        return "it has to be" if figure.reached else "NOT ALL OF THEM"
    return "reached" if figure.reached else "MISSED"


def _figure(what: str, kind: Sequence[Canary]) -> Figure:
    seconds = [each.gone_at - each.since for each in kind if each.gone_at is not None and each.since is not None]
    return Figure(
        what=what,
        canaries=len(kind),
        seen=sum(each.seen for each in kind),
        gone=sum(each.gone_at is not None for each in kind),
        least=min(seconds, default=None),
        middle=median(seconds) if seconds else None,
        most=max(seconds, default=None),
        promised=kind[0].promised,
    )
