"""What a command says of an elastic pool."""

from pipeline.actors.pool_status import PoolStatus
from pipeline.runtime.words import counted


class PoolNews:
    """Tells each change of a run's pool once."""

    def __init__(self) -> None:
        self._told: tuple[int, int] | None = None

    def lines(self, pool: PoolStatus | None) -> list[str]:
        """What to say of a pool as it is now; what changed before the first look is none of this command's news."""
        if pool is None:
            return []
        before, self._told = self._told, (pool.grown, pool.shrunk)
        if pool.latest is None or before in (None, self._told):
            return []
        change = pool.latest
        verb = "grows" if change.after > change.before else "shrinks"
        return [f"the pool {verb} from {change.before} to {counted(change.after, 'worker')}: {change.reason}"]


def pool_told(pool: PoolStatus, there: int) -> str:
    """A pool in a few words, as in ``2 of 1 to 4 workers``; `there` is how many there are."""
    return f"{there:,} of {pool.least:,} to {counted(pool.most, 'worker')}"


def changes_told(grown: int, shrunk: int) -> str:
    """How often a pool changed, as in ``grew once and shrank 2 times``."""
    return f"grew {_times(grown)} and shrank {_times(shrunk)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
