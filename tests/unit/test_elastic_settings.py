"""What is set for an elastic pool, what is refused, and what the rest of a run makes of it."""

from collections.abc import Mapping

import pytest

from pipeline.core.scaling import Scaling as Bounds
from pipeline.errors import SettingsError
from pipeline.runtime import composition
from pipeline.runtime.composition import run_plan, threads_of
from pipeline.runtime.settings import Kafka, Matching, Run, Scaling, Settings, Vision
from pipeline.runtime.settings_sources import resolve, variable_of
from pipeline.runtime.shard_factory import search_threads_of
from pipeline.runtime.topics import require_partitions

pytestmark = pytest.mark.usefixtures("clean_environment")

KAFKA = Kafka(brokers="kafka:9092")


def resolved(monkeypatch: pytest.MonkeyPatch, fields: Mapping[str, str]) -> Settings:
    """Settings from the environment."""
    for field, value in fields.items():
        monkeypatch.setenv(variable_of(field), value)
    return resolve().settings


def test_without_a_greatest_number_the_pool_is_fixed() -> None:
    """The target and the interval have defaults, which change nothing then."""
    settings = Settings(kafka=KAFKA, run=Run(workers=3), scaling=Scaling(target_lag_seconds=0.5, interval_seconds=9))
    assert (settings.least_workers, settings.most_workers, settings.most_workers_field) == (3, 3, "run.workers")
    plan = run_plan(settings, "run")
    assert (plan.workers, plan.elastic) == (3, None)


def test_a_greatest_number_makes_the_pool_elastic_from_one_worker_on() -> None:
    """The supervisor gets the bounds, and starts with the fewest."""
    settings = Settings(kafka=KAFKA, scaling=Scaling(max=4))
    plan = run_plan(settings, "run")
    assert plan.elastic is not None
    assert (plan.workers, plan.elastic.scaling) == (1, Bounds(least=1, most=4, target=1.0, interval=30.0))
    assert plan.elastic.drain_seconds == settings.lifecycle.drain_seconds
    more = run_plan(Settings(kafka=KAFKA, scaling=Scaling(min=2, max=4)), "run")
    assert more.workers == 2


def test_cores_and_gpus_are_shared_by_the_most_workers_that_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's threads and its share of a GPU are fixed when it starts, and others may come."""
    monkeypatch.setattr(composition.os, "sched_getaffinity", lambda _: set(range(16)))
    run = Run(partitions=8)
    settings = Settings(kafka=KAFKA, run=run, scaling=Scaling(max=8), matching=Matching(shards=8))
    assert (threads_of(settings), search_threads_of(settings)) == (2, 1)
    assert run_plan(settings, "run", gpus=2).worker_options == {"num_gpus": 0.25}
    greedy = Settings(kafka=KAFKA, run=run, scaling=Scaling(max=8), vision=Vision(device="cuda", gpu_share=0.5))
    with pytest.raises(SettingsError, match=r"room for 4 workers on 2 GPU\(s\), and scaling\.max is 8"):
        run_plan(greedy, "run", gpus=2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"scaling.max": "3", "run.workers": "2"},
            ["run.workers=2 and scaling.max=3 are both set", "leave run.workers out", "run.workers from environment"],
        ),
        ({"scaling.max": "5"}, ["run.partitions=4 is less than scaling.max=5", "run.partitions to at least 5"]),
        ({"scaling.min": "2"}, ["min=2 is set without max", "set scaling.max"]),
        (
            {"scaling.min": "3", "scaling.max": "2"},
            ["min=3 is greater than max=2", "scaling.min to at most 2 or scaling.max to at least 3"],
        ),
        (
            {"scaling.max": "2", "scaling.target_lag_seconds": "2"},
            ["scaling.target_lag_seconds=2 is not less than overload.max_age_seconds=2", "overload.policy to block"],
        ),
        ({"scaling.max": "2", "scaling.interval_seconds": "1"}, ["scaling.interval_seconds='1'", "equal to 5"]),
        ({"scaling.max": "2", "scaling.target_lag_seconds": "0"}, ["scaling.target_lag_seconds='0'", "greater than 0"]),
        ({"scaling.max": "0"}, ["scaling.max='0'", "greater than or equal to 1"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_together_names_the_fields_their_origin_and_the_fix(
    fields: dict[str, str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line that begins with a field."""
    with pytest.raises(SettingsError) as refused:
        resolved(monkeypatch, fields)
    message = str(refused.value)
    assert [words for words in (*said, "environment LAMPPOST_SCALING__") if words not in message] == []
    assert "\n" not in message
    assert not message.startswith(":")


def test_a_long_target_is_no_contradiction_where_nothing_is_shed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `block` frames wait as long as it takes."""
    fields = {"scaling.max": "2", "scaling.target_lag_seconds": "60", "overload.policy": "block"}
    assert resolved(monkeypatch, fields).scaling.target_lag_seconds == 60.0


def test_a_topic_with_fewer_partitions_than_the_most_workers_is_refused() -> None:
    """Whatever `run.partitions` says: on a Kafka of one's own the topic may be another."""
    elastic = Settings(kafka=KAFKA, scaling=Scaling(max=4))
    require_partitions(elastic, 4)
    with pytest.raises(SettingsError, match=r"scaling\.max=4, but frames on Kafka at kafka:9092 has 1 partition,"):
        require_partitions(elastic, 1)
    require_partitions(Settings(kafka=KAFKA, run=Run(workers=4)), 1)
