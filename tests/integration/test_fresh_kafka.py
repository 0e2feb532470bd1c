"""A Kafka that nobody has used yet: what a run says of its topics, and where a group begins on it."""

from collections.abc import Iterator

import pytest

from pipeline.catalog.topics import ALERTS, FRAMES, TOPICS, WATCHLIST
from pipeline.errors import BrokerError
from pipeline.local.kafka import LocalKafka
from pipeline.runtime.cameras import partitions_of_frames
from pipeline.runtime.run import run
from pipeline.runtime.settings import Kafka, Settings
from pipeline.runtime.topics import require_topics
from pipeline.streams.client import Connection
from pipeline.streams.commits import GroupCommits
from pipeline.streams.groups import begin_at
from pipeline.streams.offsets import LogEnds
from pipeline.streams.topics import TopicAdmin

pytestmark = pytest.mark.integration


@pytest.fixture
def kafka() -> Iterator[Connection]:
    """A Kafka without topics."""
    with LocalKafka() as broker:
        yield Connection(broker.address)


def test_a_run_names_the_topics_that_are_missing_until_it_can_work(kafka: Connection) -> None:
    """Its workers would fail one after another for the lack of a topic that they write to last."""
    admin = TopicAdmin(kafka)
    admin.create([topic for topic in TOPICS if topic.name in {FRAMES, WATCHLIST, ALERTS}], partitions=2)
    with pytest.raises(BrokerError, match=r"has no topic custody, dead-letters that .*lamppost topics create"):
        run(Settings(kafka=Kafka(brokers=kafka.brokers)), verbose=False)
    admin.create(TOPICS, partitions=1)
    with pytest.raises(BrokerError, match=r"1 partition\(s\) of dead-letters and 2 of frames"):
        require_topics(kafka)


def test_a_group_begins_where_it_is_told_on_a_broker_that_has_just_started(kafka: Connection) -> None:
    """Which has no coordinator of groups for a moment, and says so for each partition alone."""
    TopicAdmin(kafka).create(TOPICS, partitions=2)
    commits = GroupCommits(kafka, topic=FRAMES, group="group")
    assert commits.offsets([0, 1]) == {}
    begin_at(kafka, "group", FRAMES, {0: 3, 1: 5})
    assert commits.offsets([0, 1]) == {0: 3, 1: 5}
    commits.close()


def test_a_topic_that_is_asked_for_is_not_made_by_a_broker_that_makes_topics() -> None:
    """It would have settings that never delete; a misspelt address of a Kafka is enough."""
    with LocalKafka(settings={"auto.create.topics.enable": "true"}) as broker:
        connection = Connection(broker.address)
        with pytest.raises(BrokerError, match="has no topic watchlist"):
            LogEnds(connection, WATCHLIST).partitions()
        with pytest.raises(BrokerError, match="has no topic frames"):
            partitions_of_frames(connection)
        # the controller makes topics in order, so one that is asked for now is there only after any before it
        TopicAdmin(connection).create([topic for topic in TOPICS if topic.name == ALERTS], partitions=1)
        states = TopicAdmin(connection).describe(TOPICS)
        assert [state.name for state in states if state.exists] == [ALERTS]
