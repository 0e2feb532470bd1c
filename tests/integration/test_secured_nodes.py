"""A protected Kafka of three nodes that loses one: the others know its users and ACLs, and it knows them again."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from secured_kafka import ANSWER_SECONDS

from pipeline.catalog.roles import ADMINISTRATOR, Kind, Operation
from pipeline.catalog.topics import FRAMES, TOPICS
from pipeline.local.kafka import LocalKafka
from pipeline.local.protection import Protection
from pipeline.streams.acls import Acl, AclAdmin
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.producer import FrameProducer
from pipeline.streams.topics import TopicAdmin

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]


def test_three_protected_nodes_serve_a_role_through_the_loss_of_one(eventually: Eventually) -> None:
    """The nodes authenticate each other; users and ACLs are on all of them, and on one that comes back."""
    protection = Protection(ADMINISTRATOR, ["camera"])
    with LocalKafka(nodes=3, protection=protection) as kafka:
        administrator = Connection(kafka.address, protection.client_properties(ADMINISTRATOR))
        AclAdmin(administrator).allow([Acl("User:camera", Kind.TOPIC, FRAMES, Operation.WRITE)])
        TopicAdmin(administrator).create([topic for topic in TOPICS if topic.name == FRAMES], partitions=1)
        camera = protection.client_properties("camera")
        producer = FrameProducer(Connection(kafka.address, camera), topic=FRAMES, delivery_timeout=ANSWER_SECONDS)
        leader = kafka.leader_of(FRAMES, 0)
        assert leader is not None
        for moment in (b"before", b"without it"):
            assert producer.send(0, b"camera", moment, [])
            assert producer.flush(ANSWER_SECONDS) == 0
            if kafka.nodes[leader].alive():
                kafka.kill(leader)
        assert (producer.sent, producer.failed) == (2, 0)
        producer.close()
        kafka.restart(leader)
        alone = {"bootstrap.servers": kafka.nodes[leader].address, **camera}
        eventually(lambda: sees_frames(alone), "the node that was started again", 2 * ANSWER_SECONDS)


def sees_frames(properties: dict[str, str]) -> bool:
    """Whether a client with these properties is let in and allowed to see the topic."""
    try:
        return FRAMES in AdminClient(dict(properties), logger=LOGGER).list_topics(timeout=2.0).topics
    except KafkaException:
        return False
