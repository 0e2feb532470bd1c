"""What an overload does to the pipeline: ``python -m loadtest.overload``.

A run on a local Kafka and Ray, one worker and one shard on a core of their own, is first fed a little more than it can
work on, which gives its goodput at saturation, then three times that, for minutes, and then as at first again, since a
shared machine is not equally fast all the time. It prints goodput, memory, latency of what is processed, and how evenly
frames were shed, and says which target was reached. Every frame that reached Kafka has to end in an outcome; under
``block`` those that still wait there are counted, too.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.command import between, conclude
from loadtest.network import LOOK_SECONDS, Network, running, small_settings
from loadtest.overload_figures import FEED_TARGET, Figure, Load, Sample, accounts, figures, line
from loadtest.stream import Stream, pictures
from pipeline.catalog.topics import FRAMES
from pipeline.core.latency import LatencySketch
from pipeline.core.pressure import Policy
from pipeline.errors import BrokerError, ClusterError
from pipeline.runtime.settings import Metrics, Settings
from pipeline.streams.client import Connection
from pipeline.streams.producer import FrameProducer
from pipeline.vision.precision import PRECISIONS
from pipeline.wire import frames as frame_wire

FIRST_RATE: Final = 20.0
"""Frames per second that any machine works off; the search for saturation begins there."""
STEP: Final = 1.4
SEARCH_SECONDS: Final = 8.0
SATURATED: Final = 0.95
"""A run that works off less than this share of what is sent is saturated."""
SAMPLE_SECONDS: Final = 1.0
MOST_SECONDS: Final = 86_400.0
PATIENCE_SECONDS: Final = 120.0
TICK_SECONDS: Final = 0.01


class Feed:
    """Sends pictures at a steady rate in a thread of its own, camera after camera."""

    def __init__(self, connection: Connection, jpegs: Sequence[bytes], cameras: int, partitions: int) -> None:
        self._producer = FrameProducer(connection, topic=FRAMES, delivery_timeout=60.0, queue_kib=256 * 1024)
        self._stream = Stream("overload", jpegs, cameras, partitions)
        self._rate = 0.0
        self._error: BaseException | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="feed")

    def __enter__(self) -> "Feed":
        """Start, at no rate."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and give up what is under way."""
        self._ending.set()
        self._thread.join()
        self._producer.close()

    def pace(self, rate: float) -> None:
        """Send so many frames per second from now on."""
        self._rate = rate

    @property
    def sent(self) -> int:
        """Frames that the broker has acknowledged; raises what ended the feed, and BrokerError if frames failed."""
        if self._error is not None:
            raise self._error
        if self._producer.failed:
            raise BrokerError(f"{self._producer.failed} frames did not reach Kafka: the feed is too fast for it")
        return self._producer.sent

    @property
    def waiting(self) -> int:
        """Frames on their way to the broker."""
        return self._producer.waiting

    def _send_all(self) -> None:
        due, before = 0.0, time.monotonic()
        try:
            while not self._ending.wait(TICK_SECONDS):
                now = time.monotonic()
                due += (now - before) * self._rate
                before = now
                while due >= 1.0:
                    due -= 1.0
                    self._send()
                self._producer.serve()
        except BaseException as error:  # noqa: BLE001  # raised again by `sent`: no load would look like a light one
            self._error = error

    def _send(self) -> None:
        partition, frame = self._stream.next()
        self._producer.send(partition, *frame_wire.encode(frame))


class Watch:
    """Samples a run under a feed, and gathers the latencies of every second of it."""

    def __init__(self, network: Network, feed: Feed) -> None:
        self._network, self._feed = network, feed
        self.latencies: dict[int, LatencySketch] = {}
        """Of what was processed, by Unix second of the commit."""
        self.shed: dict[str, int] = {}
        """Frames shed until the latest sample, by camera."""

    def sample(self) -> Sample:
        """The run now."""
        sample, work = self._network.look(self._feed.sent)
        self.latencies.update({second: report.latency for second, report in work.seconds.items()})
        self.shed = {name: place.shed for name, place in work.places.items()}
        return sample

    def load(self, rate: float, seconds: float, what: str) -> Load:
        """Offer a rate for some seconds."""
        self._feed.pace(rate)
        samples = [self.sample()]
        ending = samples[0].at + seconds
        while samples[-1].at < ending:
            time.sleep(min(SAMPLE_SECONDS, max(0.0, ending - time.monotonic())))
            samples.append(self.sample())
            if len(samples) % 30 == 0:
                so_far = Load(rate, samples)
                left = max(0.0, ending - samples[-1].at)
                _say(f"{what}: {so_far.sent:.0f} sent and {so_far.goodput:.0f} processed a second, {left:.0f} s left")
        return Load(rate, samples)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.overload", description=__doc__.splitlines()[0])
    parser.add_argument("--policy", choices=[each.value for each in Policy], default="shed-oldest")
    seconds = between(float, SAMPLE_SECONDS, MOST_SECONDS)
    parser.add_argument("--seconds", type=seconds, default=300.0, help="of the overload (300)")
    parser.add_argument("--saturation-seconds", type=seconds, default=40.0, help="of saturation, before and after (40)")
    parser.add_argument(
        "--factor", type=between(float, 1.0, 100.0), default=3.0, help="frames sent ÷ goodput at saturation (3)"
    )
    parser.add_argument("--cameras", type=between(int, 1, 10_000), default=12, help="streams (12)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the street (1)")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="of both networks (int8)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 if every target was reached, 1 if not, the error's code if it failed."""
    chosen = options(arguments)
    run = {"policy": chosen.policy, "precision": chosen.precision, "factor": chosen.factor, "seed": chosen.seed}
    return conclude(lambda: _measure(chosen), line, run, chosen.json)


def settings_of(chosen: argparse.Namespace) -> Settings:
    """The run's, which tells all cameras apart: between districts nothing would be said of them."""
    settings = small_settings("overload", chosen.precision, chosen.policy)
    return settings.model_copy(update={"metrics": Metrics(per_camera_limit=chosen.cameras)})


def _measure(chosen: argparse.Namespace) -> list[Figure]:
    settings = settings_of(chosen)
    jpegs = pictures(chosen.seed)
    with (
        running(settings, _say) as network,
        Feed(network.connection, jpegs, chosen.cameras, settings.run.partitions) as feed,
    ):
        watch = Watch(network, feed)
        saturation = _saturated(watch, chosen.saturation_seconds)
        _say(f"saturated: {saturation.goodput:.1f} of {saturation.sent:.1f} frames a second are processed")
        before, began = watch.shed, int(time.time())
        overload = watch.load(chosen.factor * saturation.goodput, chosen.seconds, "overload")
        shed = {name: count - before.get(name, 0) for name, count in watch.shed.items()}
        latency = _merged(watch, began + 1, int(time.time()))
        again = watch.load(saturation.offered, chosen.saturation_seconds, "saturation again")
        feed.pace(0.0)
        max_age = settings.overload.max_age_seconds if chosen.policy == Policy.SHED_OLDEST else None
        found = figures([saturation, again], overload, latency, shed, max_age=max_age, cameras=chosen.cameras)
        _drained(watch, feed, everything=max_age is not None)
        ended = sum(network.stop().outcomes.values())
        found += accounts(feed.sent, network.committed(), ended, everything=max_age is not None)
    return found


def _saturated(watch: Watch, seconds: float) -> Load:
    """Raise the rate until the run falls behind for as long as its goodput is measured.

    Raises ClusterError if the feed falls behind before it.
    """
    rate = FIRST_RATE
    watch.load(rate, SEARCH_SECONDS, "warm-up")  # a worker's first batches are slow
    while True:
        rate *= STEP
        for stretch in (SEARCH_SECONDS, seconds):
            found = watch.load(rate, stretch, "search")
            if found.sent < FEED_TARGET * rate:
                raise ClusterError(
                    f"only {found.sent:.0f} of {rate:.0f} frames a second were sent: the feed is the limit"
                )
            if found.goodput >= SATURATED * found.sent:
                break
        else:
            return found


def _merged(watch: Watch, first: int, end: int) -> LatencySketch:
    total = LatencySketch()
    for second, sketch in watch.latencies.items():
        if first <= second < end:
            total.merge(sketch)
    return total


def _drained(watch: Watch, feed: Feed, everything: bool) -> None:
    """Wait until Kafka has what was sent, and if `everything` until all of it has an outcome, or for so long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        sample = watch.sample()
        if feed.waiting == 0 and not (everything and sample.sent > sum(sample.outcomes.values())):
            return
        time.sleep(LOOK_SECONDS)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
