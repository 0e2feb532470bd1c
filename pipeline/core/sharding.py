"""Where things go: entries to shards of the watchlist, cameras to partitions, camera ids to districts."""

from hashlib import blake2b


def shard_of(entry: str, shards: int) -> int:
    """The shard, 0 to `shards` - 1, that holds a watchlist entry.

    The 8-byte BLAKE2b digest of the UTF-8 id, read as a big-endian integer, modulo `shards`: the same in every process,
    release and language, and even for ids that only differ in their last digits.
    """
    return int.from_bytes(blake2b(entry.encode(), digest_size=8).digest(), "big") % shards


def partition_of(camera_index: int, partitions: int) -> int:
    """The partition of ``frames`` for the camera with this index: the index modulo `partitions`.

    An explicit rule and no hash of the id, since hashing puts three cameras on one partition and none on the next.
    """
    return camera_index % partitions


def district(camera: str) -> str:
    """The part of a camera id before the first ``/``; the whole id if there is none."""
    return camera.partition("/")[0]
