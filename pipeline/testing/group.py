"""A consumer group in memory: who owns which partition since when, and which offsets are committed.

Partitions change hands as with Kafka's incremental rebalances: the old owner gives up first, at its next poll, and
the new one takes over at a poll after that. A commit counts if the member has owned the partition since the epoch of
the membership that it shows, or an earlier one (Kafka 4.3 and later judge so, KIP-1251).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Membership:
    """What a member shows with a commit: who it is and how new its knowledge of the group is."""

    group: str
    member: int
    epoch: int


class MemoryGroup:
    """Not thread-safe by itself: the broker's lock is held around its use."""

    def __init__(self, name: str, topic: str, partitions: Collection[int]) -> None:
        self.name = name
        self.topic = topic
        self.committed: dict[int, int] = {}
        self._partitions = sorted(partitions)
        self._members: list[int] = []
        self._owners: dict[int, tuple[int, int]] = {}
        self._wishes: dict[int, int] = {}
        self._epoch = 0
        self._next_member = 0

    def join(self) -> int:
        """A new member's number; partitions come to it as others give them up."""
        self._next_member += 1
        self._members.append(self._next_member)
        self._balance()
        return self._next_member

    def leave(self, member: int) -> None:
        """The member is gone, or the session time-out took it for dead; its partitions are free."""
        if member in self._members:
            self._members.remove(member)
        self._owners = {number: owner for number, owner in self._owners.items() if owner[0] != member}
        self._balance()

    def rebalance(self, wishes: Mapping[int, int]) -> None:
        """Let the partitions in `wishes` go to the members that it names, from their next polls on."""
        self._wishes.update(wishes)
        self._epoch += 1

    def membership(self, member: int) -> Membership:
        """What the member would show with a commit of what it consumes now."""
        return Membership(self.name, member, self._epoch)

    def is_member(self, member: int) -> bool:
        """False once it has left or was thrown out."""
        return member in self._members

    def to_give_up(self, member: int) -> list[int]:
        """Partitions that the member owns and should not."""
        return [n for n, (owner, _) in sorted(self._owners.items()) if owner == member and self._wishes[n] != member]

    def give_up(self, member: int, partitions: Collection[int]) -> None:
        """The member no longer reads these partitions."""
        for number in partitions:
            if self._owners.get(number, (0, 0))[0] == member:
                del self._owners[number]
        self._epoch += 1

    def take(self, member: int) -> list[int]:
        """Partitions that are free and meant for the member; it owns them from now on."""
        free = [n for n in self._partitions if n not in self._owners and self._wishes.get(n) == member]
        if free:
            self._epoch += 1
        for number in free:
            self._owners[number] = (member, self._epoch)
        return free

    def may_commit(self, membership: Membership, partition: int) -> bool:
        """Whether that member owns the partition, and did so when it learned what it shows."""
        owner, since = self._owners.get(partition, (0, 0))
        return owner == membership.member and membership.epoch >= since

    def _balance(self) -> None:
        """Give every member its share, moving as few partitions as that takes."""
        self._epoch += 1
        if not self._members:
            self._wishes = {}
            return
        most = -(-len(self._partitions) // len(self._members))
        shares: dict[int, list[int]] = {member: [] for member in self._members}
        moving: list[int] = []
        for number in self._partitions:
            wish = self._wishes.get(number)
            if wish in shares and len(shares[wish]) < most:
                shares[wish].append(number)
            else:
                moving.append(number)
        for number in moving:
            min(shares.values(), key=len).append(number)
        _level(shares)
        self._wishes = {number: member for member, numbers in shares.items() for number in numbers}


def _level(shares: Mapping[int, list[int]]) -> None:
    """Move partitions from the largest share to the smallest until they differ by one at most."""
    while True:
        largest, smallest = max(shares.values(), key=len), min(shares.values(), key=len)
        if len(largest) - len(smallest) <= 1:
            return
        smallest.append(largest.pop())
