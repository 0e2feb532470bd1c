"""Places of entries and cameras are the same everywhere and evenly filled."""

from collections import Counter

from pipeline.core.sharding import district, partition_of, shard_of


def test_shard_of_an_entry_never_changes() -> None:
    """A new release that moved entries would search each for one version in the wrong shard."""
    assert [shard_of(f"person-{i}", 4) for i in range(8)] == [1, 1, 1, 0, 1, 0, 3, 0]


def test_shards_are_evenly_filled() -> None:
    """Ids that differ in their last digits alone do not gather in one shard."""
    counts = Counter(shard_of(f"person-{i}", 8) for i in range(8000))
    assert set(counts) == set(range(8))
    assert max(counts.values()) < 1150
    assert min(counts.values()) > 850


def test_cameras_fill_partitions_in_turn() -> None:
    """No partition has two cameras more than another."""
    assert [partition_of(i, 3) for i in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_district_is_the_first_part() -> None:
    """A camera id without a slash is a district of its own."""
    assert district("north/7/b") == "north"
    assert district("north") == "north"
