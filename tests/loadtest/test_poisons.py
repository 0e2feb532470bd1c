"""The poisons of the load test: each has the end that it is said to have, before any broker sees it."""

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from loadtest.overload_figures import Sample
from loadtest.poison import FLIPPED, SOUND, Place, Poisoner, figures, options
from loadtest.poisons import POISONS, Poison, Spoilt, flipped
from pipeline.errors import FrameError
from pipeline.records import ConsumedRecord, Frame
from pipeline.streams.client import Connection
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import frames as frame_wire

PICTURE = np.random.default_rng(3).integers(0, 255, (90, 160, 3), dtype=np.uint8)
JPEG = bytes(cv2.imencode(".jpg", PICTURE)[1])


def sound() -> Spoilt:
    """A record that is a frame."""
    key, value, headers = frame_wire.encode(Frame("a/cam-000", "run", 7, time.time_ns(), JPEG))
    return Spoilt(key, value, list(headers))


def end_of(record: Spoilt) -> str:
    """What a worker makes of a record: the reason of its dead letter, or nothing."""
    try:
        frame = frame_wire.decode(ConsumedRecord(0, 0, time.time_ns(), record.key, record.value, tuple(record.headers)))
        decode_jpeg(frame.jpeg)
    except FrameError as error:
        return str(error.reason)
    return ""


def test_an_unspoilt_record_is_a_frame() -> None:
    assert not end_of(sound())


@pytest.mark.parametrize("poison", POISONS, ids=[each.name for each in POISONS])
@pytest.mark.parametrize("seed", range(5))
def test_every_poison_has_the_reason_that_it_states(poison: Poison, seed: int) -> None:
    assert end_of(poison.spoil(sound(), np.random.default_rng(seed))) == poison.reason


def test_names_of_poisons_differ() -> None:
    assert len({each.name for each in POISONS}) == len(POISONS)


def test_records_changed_at_random_are_frames_or_have_a_reason() -> None:
    rng = np.random.default_rng(4)
    ends = [end_of(flipped(sound(), rng)) for _ in range(2000)]
    assert {"malformed_header", "undecodable"} <= set(ends)
    assert "" in ends


def report(kinds: dict[Place, str], letters: dict[Place, str], processed: int, twice: int = 0) -> dict[str, float]:
    """Values by name of a run whose memory stands still."""
    samples = [Sample(float(t), 0, {"processed": processed}, t, 1 << 20) for t in range(20)]
    return {each.name: each.value for each in figures(kinds, letters, len(letters) + twice, samples)}


def test_wrong_reasons_lost_frames_and_missing_ends_are_told() -> None:
    kinds = {Place(0, 0): "text", Place(0, 1): SOUND, Place(0, 2): FLIPPED, Place(0, 3): SOUND}
    fine = report(kinds, {Place(0, 0): "not_a_jpeg", Place(0, 2): "undecodable"}, processed=2)
    assert (fine["with another end than theirs"], fine["sound frames lost"]) == (0, 0)
    assert fine["neither processed nor a letter"] == 0
    bad = report(kinds, {Place(0, 0): "empty", Place(0, 1): "undecodable"}, processed=1)
    assert (bad["with another end than theirs"], bad["sound frames lost"]) == (1, 1)
    assert bad["neither processed nor a letter"] == 1


def test_a_poison_that_was_not_sent_is_told() -> None:
    everything = {Place(0, offset): poison.name for offset, poison in enumerate(POISONS)}
    letters = {Place(0, offset): str(poison.reason) for offset, poison in enumerate(POISONS)}
    assert report(everything, letters, processed=0)["ways of which none was sent"] == 0
    del everything[Place(0, 0)]
    samples = [Sample(float(t), 0, {}, t, 1 << 20) for t in range(20)]
    told = {each.name: each for each in figures(everything, letters, len(letters), samples)}
    assert (told["ways of which none was sent"].value, told["ways of which none was sent"].reached) == (1, False)


class FakeProducer:
    """Has every record delivered at once."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def produce(self, *_: object, on_delivery: Callable[[None, "FakeProducer"], None], **__: object) -> None:
        """Take a record."""
        self.sent.append("record")
        on_delivery(None, self)

    def poll(self, _: float) -> None:
        """Deliver nothing, as nothing waits."""

    def partition(self) -> int:
        """Of the latest."""
        return 0

    def offset(self) -> int:
        """Of the latest."""
        return len(self.sent)


def test_every_poison_is_sent_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "open", lambda *_: FakeProducer())
    poisoner = Poisoner(Connection("nowhere:9092"), [JPEG], partitions=4, seed=1)
    for _ in POISONS:
        poisoner.send()
    assert list(poisoner.kinds.values()) == [each.name for each in POISONS]
    for _ in range(200):
        poisoner.send()
    assert {SOUND, FLIPPED} <= set(poisoner.kinds.values())


@pytest.mark.parametrize("records", ["-5", "0", str(len(POISONS))])
def test_too_few_records_are_refused(records: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(["--records", records])
    assert f"argument --records: is {records}; give a whole number from {2 * len(POISONS)}" in capsys.readouterr().err


def test_a_letter_that_is_written_twice_is_told() -> None:
    kinds, letters = {Place(0, 0): "text", Place(0, 1): SOUND}, {Place(0, 0): "not_a_jpeg"}
    assert report(kinds, letters, processed=1, twice=1)["letters written twice"] == 1
