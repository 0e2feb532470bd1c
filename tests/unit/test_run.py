"""What ``lamppost run`` says of the run that it shows."""

from pipeline.runtime.run import greeting
from pipeline.runtime.settings import Kafka, Settings

SETTINGS = Settings(kafka=Kafka(brokers="kafka:9092"))


def test_a_run_that_was_started_is_named_with_group_and_kafka() -> None:
    """In one line, with where its metrics are."""
    (line,) = greeting(SETTINGS, "north", False, "http://m")
    assert line == "run north started, group lamppost on kafka:9092; metrics are listed at http://m"


def test_an_adopted_run_is_said_to_keep_its_settings() -> None:
    """Neither this command's group nor its workers are what runs, so they are not named either."""
    first, second = greeting(SETTINGS, "north", True, "http://m")
    assert first == "run north adopted; metrics are listed at http://m"
    assert "settings of north stay those that it was started with" in second
