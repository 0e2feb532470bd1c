"""Replicas of the watchlist's shards: what they are called, where they live, and which of them a search asks."""

from collections.abc import Collection, Sequence

import msgspec


class Replica(msgspec.Struct, frozen=True):
    """One of the processes that hold the same shard."""

    shard: int
    number: int
    """0 to `replicas` - 1."""
    replicas: int
    """How many each shard of the run has."""

    @property
    def name(self) -> str:
        """What its actor is called: ``shard-0`` if it is the only one of its shard, else ``shard-0.1``."""
        return f"shard-{self.shard}" if self.replicas == 1 else f"shard-{self.shard}.{self.number}"

    @property
    def siblings(self) -> tuple["Replica", ...]:
        """The other replicas of its shard."""
        return tuple(each for each in replicas_of(self.shard, self.replicas) if each != self)


def replicas_of(shard: int, replicas: int) -> tuple[Replica, ...]:
    """All replicas of a shard, by number."""
    return tuple(Replica(shard, number, replicas) for number in range(replicas))


def preference(shard: int, replicas: int, turn: int, avoided: Collection[Replica]) -> tuple[Replica, ...]:
    """All replicas of a shard in the order in which search number `turn` asks them.

    Those that are not avoided take turns in being the first, so that each answers the same number of a worker's
    searches; in one turn neighbouring shards begin with different numbers. Avoided ones come last: they are asked only
    if nobody else answers.
    """
    everyone = replicas_of(shard, replicas)
    trusted = [each for each in everyone if each not in avoided]
    others = [each for each in everyone if each in avoided]
    return (*_rotated(trusted, turn + shard), *_rotated(others, turn + shard))


def hedge_delays(deadline_seconds: float, replicas: int) -> tuple[float, ...]:
    """Seconds after which a search asks one more replica of a shard that has not answered, for each but the first.

    The first of them is a quarter of the deadline, however many replicas there are: shorter, an ordinary batch would be
    searched twice. The others follow within another quarter, so that the last has half of the deadline to answer.

    A share of the deadline and no quantile of recent search times: these depend on the number of faces, of which a
    batch has one or a hundred, and a quantile would send the largest batches twice, most of all under full load. It
    need not be short either, since a replica that was late once is avoided until it answers what it was asked: what
    hangs costs a worker one delay, not one for each batch.
    """
    quarter = deadline_seconds / 4
    return tuple(quarter * (1 + each / (replicas - 1)) for each in range(replicas - 1))


def home(
    nodes: Collection[str], siblings: Sequence[str], others: Sequence[str], died_on: str | None = None
) -> str | None:
    """The node of a cluster that a replica is to live on; None if there are no `nodes`.

    The one with the fewest `siblings` (the nodes where the other replicas of its shard live), then not the one that
    its predecessor `died_on`, which may lack what a replica needs, then the one with the fewest `others` (those of the
    other shards' replicas), then the first by id.
    """
    return min(nodes, key=lambda node: (siblings.count(node), node == died_on, others.count(node), node), default=None)


def _rotated(replicas: Sequence[Replica], turn: int) -> Sequence[Replica]:
    first = turn % len(replicas) if replicas else 0
    return [*replicas[first:], *replicas[:first]]
