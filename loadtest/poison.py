"""What garbage on the topic of frames does to the pipeline: ``python -m loadtest.poison``.

Sends records that are spoilt in known ways (each has to end as a dead letter of its reason), one of every way first,
records whose bytes were changed at random (each may end as a dead letter or as a frame), and sound frames between them,
to a run on a local Kafka and Ray. No process may be replaced, every record has to end in an outcome, no sound frame may
be lost, and memory may not grow.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from loadtest.command import between, conclude
from loadtest.network import LOOK_SECONDS, Network, running, small_settings
from loadtest.overload_figures import MEMORY_TARGET, Figure, Load, Sample, line
from loadtest.poisons import POISONS, Spoilt, flipped
from loadtest.stream import Stream, pictures
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import DEAD_LETTERS, FRAMES
from pipeline.errors import BrokerError, ClusterError
from pipeline.streams.client import Connection, Notices
from pipeline.streams.reader import TopicReader
from pipeline.vision.precision import PRECISIONS
from pipeline.wire import dead_letters
from pipeline.wire import frames as frame_wire

KNOWN_SHARE: Final = 0.4
FLIPPED_SHARE: Final = 0.4
"""The rest are sound frames."""
LEAST_RECORDS: Final = 2 * len(POISONS)
"""One of every poison, and some of the other kinds."""
FLIPPED: Final = "changed at random"
SOUND: Final = "sound"
AHEAD: Final = 300
"""Records that were sent and have no outcome yet, at most: it is the run's memory that is looked at, not Kafka's."""
SAMPLE_SECONDS: Final = 1.0
TOLD_EVERY: Final = 5_000
PATIENCE_SECONDS: Final = 120.0
CAMERAS: Final = 12
MESSAGE_BYTES: Final = 64 * 1024 * 1024


class Place(NamedTuple):
    """Where a record lies."""

    partition: int
    offset: int


class Poisoner:
    """Sends records of all kinds, and remembers where each lies."""

    def __init__(self, connection: Connection, jpegs: Sequence[bytes], partitions: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._stream = Stream("poison", jpegs, CAMERAS, partitions)
        self._first = list(POISONS)
        self.kinds: dict[Place, str] = {}
        """Name of the poison, `FLIPPED` or `SOUND`, of every record that the broker has."""
        self.refused = 0
        """Records that the broker did not take."""
        # Compressed, since a broker measures its limit on what is sent: so does whoever wants to get past it.
        properties: dict[str, str | int | bool] = {
            "compression.type": "lz4", "linger.ms": 5, "message.max.bytes": MESSAGE_BYTES,
        }  # fmt: skip
        self._producer = connection.open(Producer, Notices(), properties)

    def send(self) -> None:
        """Send one record: of each poison in turn, and of a random kind when every one was sent."""
        partition, frame = self._stream.next()
        key, value, headers = frame_wire.encode(frame)
        record, kind = Spoilt(key, value, list(headers)), SOUND
        drawn = self._rng.random()
        if self._first or drawn < KNOWN_SHARE:
            poison = self._first.pop(0) if self._first else POISONS[int(self._rng.integers(len(POISONS)))]
            record, kind = poison.spoil(record, self._rng), poison.name
        elif drawn < KNOWN_SHARE + FLIPPED_SHARE:
            record, kind = flipped(record, self._rng), FLIPPED

        def note(error: KafkaError | None, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is not None or partition is None or offset is None:
                self.refused += 1
            else:
                self.kinds[Place(partition, offset)] = kind

        headers_as_typed: list[tuple[str, str | bytes | None]] = [*record.headers]
        self._producer.produce(FRAMES, record.value, record.key, partition, on_delivery=note, headers=headers_as_typed)
        self._producer.poll(0.0)

    def flush(self) -> None:
        """Wait until the broker has everything; raises BrokerError if it has not."""
        if self._producer.flush(PATIENCE_SECONDS) or self.refused:
            raise BrokerError(f"{self.refused} records were refused, and some may not have arrived")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.poison", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--records", type=between(int, LEAST_RECORDS, 100_000_000), default=50_000, help="in all (50,000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the street and of the poison (1)")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="of both networks (int8)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test; returns 0 if everything held, 1 if not, the error's code if it failed."""
    chosen = options(arguments)
    run = {"records": chosen.records, "seed": chosen.seed, "precision": chosen.precision}
    return conclude(lambda: _poison(chosen), line, run, chosen.json)


def _poison(chosen: argparse.Namespace) -> list[Figure]:
    settings = small_settings("poison", chosen.precision, "block")
    jpegs = pictures(chosen.seed)
    with running(settings, _say) as network:
        poisoner = Poisoner(network.connection, jpegs, settings.run.partitions, chosen.seed)
        samples = _fed(network, poisoner, chosen.records)
        letters, written = _dead_letters(network.connection)
        network.stop()
    for reason, count in sorted(Counter(letters.values()).items()):
        _say(f"{count:>8,} dead letters: {reason}")
    return figures(poisoner.kinds, letters, written, samples)


def _fed(network: Network, poisoner: Poisoner, records: int) -> list[Sample]:
    """Send so many records, not far ahead of the run; return samples until all have an outcome."""
    samples = [latest := network.look(0)[0]]
    sent, told = 0, 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (ended := _ended(latest)) < records:
        while sent < min(records, ended + AHEAD):
            poisoner.send()
            sent += 1
        if sent == records:
            poisoner.flush()
        time.sleep(LOOK_SECONDS)
        latest = network.look(sent)[0]
        if _ended(latest) > ended:
            deadline = time.monotonic() + PATIENCE_SECONDS
        elif time.monotonic() > deadline:
            raise ClusterError(f"{sent - ended} of {sent} records have no outcome after {PATIENCE_SECONDS:.0f} s")
        if latest.at - samples[-1].at >= SAMPLE_SECONDS:
            samples.append(latest)
        if _ended(latest) >= told + TOLD_EVERY:
            told = _ended(latest)
            _say(f"{told:,} of {records:,} records have an outcome; {latest.resident / 2**20:.0f} MiB")
    return [*samples, latest]


def _ended(sample: Sample) -> int:
    return sum(sample.outcomes.values())


def _dead_letters(connection: Connection) -> tuple[dict[Place, str], int]:
    """Return the reason of every dead letter by its record's place, and how many letters there are."""
    reader = TopicReader(connection, DEAD_LETTERS)
    try:
        found = [
            dead_letters.decode(record.value, record.headers)
            for record in reader.read_to(reader.ends(), PATIENCE_SECONDS)
        ]
    finally:
        reader.close()
    return {Place(letter.partition, letter.offset): letter.reason for letter in found}, len(found)


def figures(
    kinds: dict[Place, str], letters: dict[Place, str], written: int, samples: Sequence[Sample]
) -> list[Figure]:
    """What became of the records: `kinds` and `letters` by where they lay, of `written` letters in all."""
    reasons = {poison.name: poison.reason for poison in POISONS}
    known = {place: kind for place, kind in kinds.items() if kind in reasons}
    unsent = len(POISONS) - len(set(known.values()))
    right = sum(letters.get(place) == reasons[kind] for place, kind in known.items())
    sound = [place for place, kind in kinds.items() if kind == SOUND]
    lost = sum(place in letters for place in sound)
    processed = samples[-1].outcomes.get(Outcome.PROCESSED, 0)
    balance = len(kinds) - processed - len(letters)
    growth = Load(0.0, samples).memory_growth
    return [
        Figure("records", len(kinds), "", "", None),
        Figure("spoilt in known ways", len(known), "", "", None),
        Figure("ways of which none was sent", unsent, "", "0", unsent == 0),
        Figure("with another end than theirs", len(known) - right, "", "0", right == len(known)),
        Figure(FLIPPED, sum(kind == FLIPPED for kind in kinds.values()), "", "", None),
        Figure("sound frames", len(sound), "", "", None),
        Figure("sound frames lost", lost, "", "0", lost == 0),
        Figure("neither processed nor a letter", balance, "", "0", balance == 0),
        Figure("letters written twice", written - len(letters), "", "0", written == len(letters)),
        Figure("memory ÷ that after a fifth", growth, "", f"≤ {MEMORY_TARGET}", growth <= MEMORY_TARGET),
    ]


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
