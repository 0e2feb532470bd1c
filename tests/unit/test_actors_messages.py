"""What a run says of itself fits into Ray's messages, however much it is, and arrives whole."""

from collections.abc import Callable

import msgspec
import numpy as np
from memory_run import MemoryRun
from ray_in_process import RayInProcess
from supervised_run import parts, plan

from pipeline.actors.batch import Extent, FrameFacts, Seen
from pipeline.actors.report import Ledger, WorkReport
from pipeline.actors.run_plan import RunStatus
from pipeline.actors.shard_reply import CALL_BYTES
from pipeline.actors.vision_worker import WorkerParts
from pipeline.catalog.outcomes import Outcome
from pipeline.records import OutcomeRange, Receipt
from pipeline.runtime.supervision import Supervision

Eventually = Callable[..., None]

RAY_INLINE_BYTES = 100_000
"""Ray puts larger arguments and replies into its object store."""
CAMERAS = 64
LATENCIES = 400
SECOND_NS = 10**9
NOW_NS = 1_800_000_000 * SECOND_NS


def work_through(ledger: Ledger, cameras: range) -> None:
    """Let each camera have frames of very different latencies and queue ages."""
    for number in range(LATENCIES):
        age_ns = int(1.021**number * SECOND_NS / 1000)
        frames = tuple(
            FrameFacts(0, number, f"north/cam-{camera:04}", "r", number, NOW_NS - age_ns, NOW_NS - age_ns, True)
            for camera in cameras
        )
        ledger.settled(
            Seen(
                Extent(len(frames), {}, (), None, 1, NOW_NS),
                number,
                (),
                (),
                frames,
                np.zeros(0, np.int64),
                np.zeros((0, 4), np.float32),
                np.zeros((0, 128), np.float32),
            ),
            Receipt(
                run="run",
                slot=0,
                batch=number,
                decided_ns=NOW_NS,
                ranges=(OutcomeRange(0, number, number + 1, Outcome.PROCESSED),),
                alerts=0,
                watchlist_version_lowest=1,
                watchlist_version_greatest=1,
                fraction_searched=1.0,
            ),
            [],
            NOW_NS,
        )


def test_what_many_cameras_did_fits_into_rays_messages_and_arrives_whole(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """64 cameras over two workers, with 400 distinct latencies each: every place arrives, also at the end."""

    def make_worker(slot: int) -> WorkerParts:
        worker = run.unstarted(slot)
        work_through(worker.ledger, range(slot * CAMERAS // 2, (slot + 1) * CAMERAS // 2))
        return parts(worker)

    command = Supervision(plan(make_worker, workers=2))
    expected = {f"north/cam-{camera:04}": LATENCIES for camera in range(CAMERAS)}

    def seen(status: RunStatus) -> dict[str, int]:
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        return {name: place.latency.count for name, place in work.places.items()}

    eventually(lambda: seen(command.status()) == expected, "the work of all cameras")
    status = command.status()
    assert status.ready
    assert [worker.work for worker in status.workers] == [b"", b""]
    assert len(status.work) > 2 * CALL_BYTES, "more than a message carries"
    assert seen(command.stop(5.0)) == expected
    assert CALL_BYTES < ray.heaviest < RAY_INLINE_BYTES
