"""What can become of a frame: every offset of ``frames`` ends in exactly one of these outcomes."""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The single end of one consumed (or missed) offset of ``frames``."""

    PROCESSED = "processed"
    """Decoded, searched, and accounted for with its alerts if any."""
    SHED = "shed"
    """Dropped unread by the overload policy because it was older than ``max_age``."""
    DEAD_LETTERED = "dead_lettered"
    """Not a valid frame record; its metadata went to ``dead-letters``."""
    EXPIRED = "expired"
    """Deleted by retention before it was read: a gap below the partition's log start offset."""
    UNAUTHORISED = "unauthorised"
    """Outside every authorisation; zero until the gate is built."""
    UNREADABLE = "unreadable"
    """Its epoch's key was destroyed before it was read; zero until sealing is built."""


CONSUMED: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.EXPIRED)
"""The outcomes of offsets that were read from Kafka; their sum is the number of consumed records."""


class DeadLetterReason(StrEnum):
    """Why a record of ``frames`` is not a frame."""

    UNKNOWN_VERSION = "unknown_version"
    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    MISSING_KEY = "missing_key"
    MALFORMED_KEY = "malformed_key"
    EMPTY = "empty"
    NOT_A_JPEG = "not_a_jpeg"
    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
    IMPLAUSIBLE_TIME = "implausible_time"
