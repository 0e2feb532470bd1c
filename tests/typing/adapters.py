"""Checked by mypy and never run: adapters fit their ports as a caller would use them."""

from prometheus_client import CollectorRegistry

from pipeline.ports import Detector, Embedder, Telemetry
from pipeline.telemetry.places import Places
from pipeline.telemetry.prometheus import PrometheusTelemetry
from pipeline.vision.eyes import Eyes


def telemetry() -> Telemetry:
    """The exporter is a Telemetry."""
    return PrometheusTelemetry(CollectorRegistry(), Places(64))


def networks(eyes: Eyes) -> tuple[Detector, Embedder]:
    """The shipped networks are a Detector and an Embedder."""
    return eyes.detector, eyes.embedder
