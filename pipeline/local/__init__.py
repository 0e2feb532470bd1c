"""Kafka and Ray on this one machine, each under a keeper that leaves nothing behind."""
