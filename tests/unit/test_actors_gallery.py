"""A worker's view of all shards, with replicas that the test plays."""

from typing import Any

import numpy as np
import pytest
from played_ray import Played, PlayedRay, dying, failing, hanging, starting, stuck
from ray.exceptions import ActorDiedError

from pipeline.actors.avoidance import LOOK_SECONDS
from pipeline.actors.gallery import ANEW_SECONDS, RayGallery
from pipeline.actors.replicas import Question
from pipeline.catalog.metrics import SEARCHES_FAILED_OVER, SEARCHES_HEDGED
from pipeline.core.replicas import Replica, hedge_delays
from pipeline.errors import ClusterError, ShardUnavailable
from pipeline.records import Probes
from pipeline.testing.telemetry import FakeTelemetry

FACE = Probes(np.ones((1, 128), np.float32), np.ones(1, np.int64))
NO_FACE = Probes(np.empty((0, 128), np.float32), np.empty(0, np.int64))
DEADLINE = 1.0
(DELAY,) = hedge_delays(DEADLINE, 2)


class Worker:
    """A gallery over played replicas, and what it counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, actors: dict[str, Played], **changes: Any) -> None:
        self.ray = PlayedRay(actors)
        self.ray.install(monkeypatch)
        self.telemetry = FakeTelemetry()
        settings = {"shards": 1, "replicas": 2, "on_shard_loss": "degrade"} | changes
        self.gallery = RayGallery(namespace="run", deadline_seconds=DEADLINE, telemetry=self.telemetry, **settings)

    def search(self) -> tuple[int, float]:
        """Search one face: the version of the result, and how long it took."""
        began = self.ray.now
        found = self.gallery.search(FACE, 3)
        assert len(found.candidates) == 1
        assert found.fraction_searched == 1.0
        return found.version_lowest, self.ray.now - began

    def asked(self) -> list[str]:
        """Who was asked to search since the last look."""
        asked, self.ray.searched = self.ray.searched, []
        return asked

    @property
    def counted(self) -> tuple[float, float]:
        """Searches of shard 0 that were hedged, and that failed over."""
        hedged, failed_over = (
            self.telemetry.value(metric, shard="0") for metric in (SEARCHES_HEDGED, SEARCHES_FAILED_OVER)
        )
        return hedged, failed_over


def two(first: Played, second: Played) -> dict[str, Played]:
    """The two replicas of the only shard."""
    return {"shard-0.0": first, "shard-0.1": second}


def test_a_batch_without_a_face_claims_no_more_than_the_latest_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost shard is not back because nobody looked, and no version of 0 was searched."""
    worker = Worker(monkeypatch, {"shard-0": Played(7)}, shards=2, replicas=1)
    gallery = worker.gallery
    found = gallery.search(FACE, 3)
    assert (found.version_lowest, found.version_greatest, found.fraction_searched) == (7, 7, 0.5)
    worker.asked()
    nothing = gallery.search(NO_FACE, 3)
    assert nothing.candidates == ()
    assert (nothing.version_lowest, nothing.version_greatest, nothing.fraction_searched) == (7, 7, 0.5)
    assert worker.asked() == []
    worker.ray.actors |= {"shard-1": Played(7)}
    assert gallery.search(FACE, 3).fraction_searched == 1.0
    assert gallery.search(NO_FACE, 3).fraction_searched == 1.0


def test_a_gallery_that_has_searched_nothing_yet_has_met_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0 says that nothing was searched."""
    nothing = Worker(monkeypatch, {}).gallery.search(NO_FACE, 3)
    assert (nothing.candidates, nothing.version_greatest, nothing.fraction_searched) == ((), 0, 1.0)


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_search_costs_one_call_per_shard_and_one_wait(monkeypatch: pytest.MonkeyPatch, replicas: int) -> None:
    """However many replicas there are, while nobody fails."""
    names = ["shard-{}"] if replicas == 1 else [f"shard-{{}}.{number}" for number in range(replicas)]
    actors = {name.format(shard): Played() for shard in range(2) for name in names}
    worker = Worker(monkeypatch, actors, shards=2, replicas=replicas)
    for _ in range(6):
        worker.search()
    assert {name: worker.ray.searched.count(name) for name in actors} == dict.fromkeys(actors, 6 // replicas)
    assert (worker.ray.gets, worker.ray.waits) == (6, 0)


def test_a_replica_that_fails_at_once_is_replaced_in_the_same_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, and it is left alone until it or its replacement serves."""
    worker = Worker(monkeypatch, two(Played(), dying()))
    assert worker.search() == (7, 0.0)
    assert worker.asked() == ["shard-0.1", "shard-0.0"]
    assert worker.counted == (0, 1)
    del worker.ray.actors["shard-0.1"]
    for played in (None, starting()):
        if played is not None:
            worker.ray.actors["shard-0.1"] = played
        for _ in range(6):
            worker.ray.now += LOOK_SECONDS
            assert worker.search() == (7, 0.0)
        assert set(worker.asked()) == {"shard-0.0"}
    worker.ray.actors["shard-0.1"].state = "running"
    worker.ray.actors["shard-0.1"].raises = None
    for _ in range(6):
        worker.ray.now += LOOK_SECONDS
        worker.search()
    assert worker.asked()[-2:] in (["shard-0.0", "shard-0.1"], ["shard-0.1", "shard-0.0"])
    assert worker.counted == (0, 1)


def test_a_replica_that_is_not_there_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """That counts like one that fails when it is asked."""
    worker = Worker(monkeypatch, {"shard-0.0": Played()})
    assert [worker.search() for _ in range(3)] == [(7, 0.0)] * 3
    assert worker.asked() == ["shard-0.0"] * 3
    assert worker.counted == (0, 1)


@pytest.mark.parametrize("late", [hanging(), stuck()], ids=["hanging", "stuck"])
def test_a_replica_that_hangs_costs_one_delay(monkeypatch: pytest.MonkeyPatch, late: Played) -> None:
    """The other is asked as well when the delay is over, and first from then on, whatever the process still says."""
    worker = Worker(monkeypatch, two(Played(), late))
    assert worker.search() == (7, DELAY)
    for _ in range(6):
        worker.ray.now += LOOK_SECONDS
        assert worker.search() == (7, 0.0)
    assert worker.asked() == ["shard-0.1", *["shard-0.0"] * 7]
    assert worker.counted == (1, 0)


def test_a_late_replica_is_asked_again_once_its_late_search_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was slow and no more."""
    worker = Worker(monkeypatch, two(Played(), Played(after=5.0)))
    assert worker.search() == (7, DELAY)
    worker.ray.actors["shard-0.1"].after = 0.0
    for _ in range(4):
        worker.ray.now += 1.0
        worker.search()
    assert worker.asked() == ["shard-0.1", *["shard-0.0"] * 5]
    worker.ray.now = 5.0
    worker.search()
    worker.search()
    assert sorted(worker.asked()) == ["shard-0.0", "shard-0.1"]


def test_a_replica_that_was_asked_a_moment_ago_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that are looked for again just before the deadline of a search have not had the time to answer."""
    worker = Worker(monkeypatch, two(hanging(), hanging()))
    asking = worker.gallery._replicas
    assert asking.ask([0], Question(FACE, 3, 0, 1, worker.ray.now + 0.9 * DELAY)) == {}
    assert list(asking._avoided) == []
    assert asking.ask([0], Question(FACE, 3, 0, 1, worker.ray.now + 1.1 * DELAY)) == {}
    assert list(asking._avoided) == [Replica(0, 1, 2)]


def test_the_first_answer_counts_and_clears_who_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that was late, and still before the other, is asked again in its turn."""
    worker = Worker(monkeypatch, two(Played(8, after=0.9), Played(7, after=1.1 * DELAY)))
    assert worker.search() == (7, pytest.approx(1.1 * DELAY))
    assert worker.asked() == ["shard-0.1", "shard-0.0"]
    worker.ray.actors["shard-0.0"].after = 0.0
    worker.search()
    worker.search()
    assert worker.asked() == ["shard-0.0", "shard-0.1", "shard-0.0"]


def test_no_search_waits_past_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for replicas that hang nor, under `wait`, for those that are away."""
    for actors in (two(hanging(), hanging()), two(starting(), hanging()), {}):
        worker = Worker(monkeypatch, actors, on_shard_loss="wait")
        with pytest.raises(ShardUnavailable, match=r"^shard-0 of run run did not answer within 1 s$"):
            worker.search()
        assert worker.ray.now <= DEADLINE


def test_replicas_that_were_all_avoided_are_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that serves again is found within the deadline."""
    worker = Worker(monkeypatch, two(dying(), dying()), on_shard_loss="wait")
    with pytest.raises(ShardUnavailable):
        worker.search()
    worker.ray.actors = {"shard-0.1": Played(9)}
    assert worker.search() == (9, 0.0)


def test_only_a_shard_without_any_replica_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fraction searched is that of shards, not of replicas."""
    actors = two(dying(), dying()) | {"shard-1.0": dying(), "shard-1.1": Played()}
    found = Worker(monkeypatch, actors, shards=2).gallery.search(FACE, 3)
    assert found.fraction_searched == 0.5
    assert [candidate.entry for candidate in found.candidates[0]] == ["p1"]


def test_no_answer_is_older_than_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica that lags is asked once more by way of the other, and a removal does not come undone."""
    worker = Worker(monkeypatch, two(Played(8), Played(10)))
    assert [worker.search()[0] for _ in range(4)] == [10, 10, 10, 10]
    assert worker.asked() == ["shard-0.1", "shard-0.0", "shard-0.1", "shard-0.1", "shard-0.0", "shard-0.1"]


def test_replicas_that_all_lag_are_asked_once_more_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer of the two answers counts, whoever gave it."""
    actors = two(Played(8), Played(9)) | {"shard-1.0": Played(10), "shard-1.1": Played(10)}
    worker = Worker(monkeypatch, actors, shards=2)
    for _ in range(2):
        found = worker.gallery.search(FACE, 3)
        assert (found.version_lowest, found.version_greatest) == (9, 10)
        assert len(worker.asked()) == 3
    actors["shard-0.0"].catches_up = actors["shard-0.1"].catches_up = True
    assert worker.gallery.search(FACE, 3).version_lowest == 10


def test_what_the_second_answer_shows_is_not_undone_by_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica may have caught up further than it was asked to."""
    actors = two(Played(8), Played(11)) | {"shard-1.0": Played(10), "shard-1.1": Played(10)}
    worker = Worker(monkeypatch, actors, shards=2)
    worker.gallery._turn = 1  # shard-0.0 is first
    assert worker.gallery.search(FACE, 3).version_greatest == 11
    assert worker.gallery._greatest == 11


def test_a_topic_that_was_made_anew_costs_second_questions_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its versions begin again, and those of before are nobody's any more."""
    actors = {"shard-0": Played(100), "shard-1": Played(100)}
    worker = Worker(monkeypatch, actors, shards=2, replicas=1)
    worker.search()
    for played in actors.values():
        played.version = 5
    worker.asked()
    worker.search()
    assert len(worker.asked()) == 4
    worker.ray.now += 0.99 * ANEW_SECONDS
    worker.search()
    assert len(worker.asked()) == 4
    worker.ray.now += 0.02 * ANEW_SECONDS
    worker.search()
    worker.asked()
    assert worker.search()[0] == 5
    assert len(worker.asked()) == 2


def test_an_error_is_named_where_the_shard_stays_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was asked after it hangs or is gone: that alone would not tell what to mend."""
    broken = Played(raises=failing(MemoryError("no memory")))
    for other in (hanging(), dying(), starting()):
        worker = Worker(monkeypatch, two(other, broken), on_shard_loss="wait")
        with pytest.raises(ClusterError, match=r"shard-0\.1 failed to search: MemoryError\('no memory'\)"):
            worker.search()


def test_an_error_of_one_replica_is_the_others_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only if none can compute its answer is it the worker's."""
    broken = Played(raises=failing(MemoryError("no memory")))
    worker = Worker(monkeypatch, two(Played(), broken))
    assert worker.search() == (7, 0.0)
    assert worker.counted == (0, 1)
    with pytest.raises(ClusterError, match=r"shard-0\.0 failed to search: MemoryError\('no memory'\)"):
        Worker(monkeypatch, two(broken, broken)).search()


def test_a_dead_actor_is_not_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one replica its successor is found by name at the next look, as soon as there is one."""
    worker = Worker(monkeypatch, {"shard-0": Played()}, replicas=1, on_shard_loss="wait")
    worker.search()
    worker.ray.actors["shard-0"].raises = ActorDiedError()
    worker.ray.actors = {"shard-0": Played(9)}
    assert worker.search() == (9, 0.0)
    assert worker.counted == (0, 0)
