"""What the pipeline costs on top of its kernels: ``python -m loadtest.tax``.

Alternates a bare kernel loop and the real pipeline (workers, shards, Kafka, Ray) over the same frames, saturated, and
prints pipeline efficiency, CPU overhead per frame and the share of the allotted cores that was kept busy. Then it runs
the pipeline with eyes that cost nothing, in batches and one frame at a time, for the CPU of transport alone.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from loadtest.command import conclude
from loadtest.network import await_services
from loadtest.stream import pictures
from loadtest.tax_figures import Bare, Figure, Piped, Round, figures, line, transport_figures
from pipeline.records import WatchlistEntry
from pipeline.runtime.connections import connection_of
from pipeline.runtime.demo_watchlist import DemoWatchlist
from pipeline.runtime.enrolment import Enrolment
from pipeline.runtime.services import services
from pipeline.runtime.settings import Batch, Matching, Overload, Run, Settings, Vision
from pipeline.runtime.topics import create
from pipeline.vision.precision import PRECISIONS

LOOK_SECONDS = 0.05
SHORT = 4
"""The one-frame-per-call run takes so many times fewer frames: each costs that much more."""


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.tax", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=640, help="720p frames of each run (640)")
    parser.add_argument("--rounds", type=int, default=3, help="bare and piped runs, alternating (3)")
    parser.add_argument("--watchlist", type=int, default=200, help="entries (200)")
    parser.add_argument("--cameras", type=int, default=12, help="streams (12)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the street (1)")
    parser.add_argument("--transport-frames", type=int, default=4000, help="frames of each transport run (4000)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of both networks (fp32)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 if every target was reached, 1 if not, the error's code if it failed."""
    chosen = options(arguments)
    run = {"precision": chosen.precision, "frames": chosen.frames, "rounds": chosen.rounds, "seed": chosen.seed}
    return conclude(lambda: _measure(chosen), line, run, chosen.json)


def _measure(chosen: argparse.Namespace) -> list[Figure]:
    settings = Settings(
        run=Run(workers=1, partitions=4),
        matching=Matching(shards=1),
        overload=Overload(policy="block"),
        vision=Vision(threads=1, precision=chosen.precision),
    )
    available = sorted(os.sched_getaffinity(0))
    cores = frozenset(available[-1:])
    print(f"workers and shards on core {available[-1]} of {available}; load before: {os.getloadavg()[0]:.2f}")
    print(f"shipped detector and embedder, {chosen.precision}, one thread; 1280×720 frames")
    with ExitStack() as stack:
        up = stack.enter_context(services(settings, _say))
        jpegs = pictures(chosen.seed)
        print(f"{len(jpegs)} pictures of {sum(map(len, jpegs)) / len(jpegs) / 1e3:.0f} kB on average", flush=True)
        entries = _watchlist(chosen)
        await_services(up)
        settings = up.settings
        connection = connection_of(settings, "lamppost-tax")
        create(settings)
        DemoWatchlist(connection).publish(entries)

        def piped(name: str, batch: int, frames: int, trivial: bool) -> Piped:
            from loadtest.tax_piped import piped_run, trivial_looking  # noqa: PLC0415  # imports Ray
            from pipeline.runtime.composition import shipped_looking  # noqa: PLC0415  # as above

            _say(f"{name}: {frames} frames")
            run = settings.run.model_copy(update={"name": name, "group": "tax"})
            return piped_run(
                settings.model_copy(update={"run": run, "batch": Batch(limit=batch)}),
                up.ray_address,
                connection,
                jpegs,
                frames=frames,
                warm_up=3 * 32,
                cameras=chosen.cameras,
                cores=cores,
                broker_pid=up.kafka.pid if up.kafka else 0,
                look=trivial_looking if trivial else shipped_looking,
            )

        rounds = []
        for number in range(chosen.rounds):
            bare = _bare(jpegs, entries, chosen.frames, settings, cores)
            rounds.append(Round(bare, piped(f"piped-{number}", settings.batch.limit, chosen.frames, trivial=False)))
            _say(f"round {number + 1}: efficiency {rounds[-1].efficiency:.3f}")
        found = figures(rounds, len(cores))
        batched, single = [], []
        for number in range(chosen.rounds):
            batched.append(piped(f"batched-{number}", settings.batch.limit, chosen.transport_frames, trivial=True))
            single.append(piped(f"single-{number}", 1, chosen.transport_frames // SHORT, trivial=True))
        found += transport_figures(batched, single)
    return found


def _watchlist(chosen: argparse.Namespace) -> list[WatchlistEntry]:
    enrolment = Enrolment(chosen.seed, chosen.watchlist)
    try:
        while not enrolment.complete:
            time.sleep(LOOK_SECONDS)
    finally:
        enrolment.stop()
    return enrolment.entries


def _bare(
    jpegs: list[bytes], entries: list[WatchlistEntry], frames: int, settings: Settings, cores: frozenset[int]
) -> Bare:
    _say(f"bare: {frames} frames")
    arguments = {
        "jpegs": jpegs,
        "entries": entries,
        "frames": frames,
        "batch": settings.batch.limit,
        "top_k": settings.matching.top_k,
        "precision": settings.vision.precision,
    }
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(arguments))
        file.flush()
        said = subprocess.run(
            [sys.executable, "-m", "loadtest.bare", file.name, ",".join(map(str, sorted(cores)))],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
    return Bare(int(said[0]), float(said[1]))


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
