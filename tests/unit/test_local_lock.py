"""The lock of Kafka's files."""

import re
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.local.lock import KAFKA, LINE, LOG_BINDING, PATH, Jar, Lock, digest_of, newest, read_lock, written


def test_the_shipped_lock_names_kafka_first_and_every_file_with_its_sum() -> None:
    """What a broker needs is there, each file once, of the line that is tested."""
    lock = read_lock()
    assert lock.jars[0].coordinate == f"{KAFKA}:{lock.version}"
    assert lock.version.startswith(f"{LINE}.")
    assert any(jar.coordinate.startswith(LOG_BINDING) for jar in lock.jars)
    assert len({jar.name for jar in lock.jars}) == len(lock.jars)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in lock.jars)


def test_the_shipped_lock_names_no_host() -> None:
    """Where the files come from is the user's business."""
    assert "://" not in PATH.read_text(encoding="utf-8")


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Version, order and sums survive the file."""
    lock = Lock("4.4.9", (Jar("org.b:b:1", 2, "ff" * 32), Jar("org.a:a:2.0", 1, "00" * 32)))
    path = tmp_path / "kafka.lock"
    path.write_text(written(lock), encoding="utf-8")
    assert read_lock(path) == lock


@pytest.mark.parametrize("text", ["", "version = 4.4", 'version = "4.4.0"\n[[jar]]\nsize = 1\n', "\x00"])
def test_a_spoiled_lock_is_one_clear_error(tmp_path: Path, text: str) -> None:
    """It names the file and the fix."""
    path = tmp_path / "kafka.lock"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"kafka\.lock is not a lock of Kafka's files"):
        read_lock(path)


def test_a_jar_matches_only_its_own_bytes(tmp_path: Path) -> None:
    """One bit changed, one byte added or no file at all: none of these is the file."""
    file = tmp_path / "a.jar"
    file.write_bytes(b"abc")
    jar = Jar("g:a:1", 3, digest_of(file))
    assert jar.matches(file)
    file.write_bytes(b"abd")
    assert not jar.matches(file)
    file.write_bytes(b"abcd")
    assert not jar.matches(file)
    file.unlink()
    assert not jar.matches(file)


def test_the_newest_release_of_a_line_is_by_number_and_no_candidate() -> None:
    """10 comes after 9; candidates, snapshots and other lines do not count."""
    assert newest(["4.4.9", "4.4.10", "4.4.11-rc1", "4.5.0", "4.40.1", "4.4.12-SNAPSHOT"], "4.4") == "4.4.10"


def test_a_line_without_a_release_is_an_error() -> None:
    """There is nothing to lock."""
    with pytest.raises(InputError, match=r"no release of Kafka 9\.9"):
        newest(["4.4.0"], "9.9")
