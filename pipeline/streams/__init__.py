"""Kafka through confluent-kafka: the adapters of the ports that read and write topics."""
