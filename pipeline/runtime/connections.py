"""The connection to Kafka that the settings describe."""

from pipeline.errors import SettingsError
from pipeline.runtime.settings import Settings
from pipeline.streams.client import Connection


def connection_of(settings: Settings, name: str = "lamppost") -> Connection:
    """How to reach the Kafka that is set; raises SettingsError if none is, or its password cannot be read.

    `name` is the client's, as Kafka's own tools show it.
    """
    if settings.kafka.brokers is None:
        raise SettingsError(
            "kafka.brokers is not set, and this command starts no Kafka of its own; "
            "give --brokers HOST:PORT (`lamppost kafka start` prints one)"
        )
    return Connection(settings.kafka.brokers, settings.kafka.security.client_properties(), name)
