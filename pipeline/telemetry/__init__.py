"""Prometheus metrics of one process, served on a port of its own, and the list of a run's processes for Prometheus."""
