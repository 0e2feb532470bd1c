"""Fetching Kafka's files, from a Maven repository that this test serves on the loopback interface."""

import errno
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event

import pytest

from pipeline.errors import InputError, ResourceError
from pipeline.local import artifacts
from pipeline.local.artifacts import cache_folder, install
from pipeline.local.lock import Jar, Lock, digest_of

CONTENTS = {"org.one:one:1.0": b"1" * 70_000, "org.one.two:two:2.0": b"2" * 10}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Maven repository that jgo is set to use."""
    folder = tmp_path / "repository"
    for coordinate, content in CONTENTS.items():
        group, artifact, version = coordinate.split(":")
        file = folder.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configuration = tmp_path / "jgo.conf"
        configuration.write_text(f"[repositories]\ntest = http://127.0.0.1:{server.server_port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(configuration))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield folder
        server.shutdown()


@pytest.fixture
def lock(repository: Path) -> Lock:
    """The lock of what the repository holds."""
    files = {file.name: file for file in repository.rglob("*.jar")}
    jars = [Jar(coordinate, len(content), "") for coordinate, content in CONTENTS.items()]
    return Lock("1.0", tuple(Jar(jar.coordinate, jar.size, digest_of(files[jar.name])) for jar in jars))


def test_files_are_fetched_once_and_in_the_order_of_the_lock(repository: Path, lock: Lock, tmp_path: Path) -> None:
    """The second call finds them, without the repository."""
    cache = tmp_path / "cache"
    jars = install(cache, lock=lock)
    assert [jar.read_bytes() for jar in jars] == list(CONTENTS.values())
    shutil.rmtree(repository)
    assert install(cache, lock=lock) == jars


def test_progress_counts_bytes_up_to_their_sum(lock: Lock, tmp_path: Path) -> None:
    """It never falls, and ends at the whole."""
    seen: list[tuple[int, int]] = []
    install(tmp_path / "cache", lambda done, total: seen.append((done, total)), lock)
    assert seen == sorted(seen)
    assert seen[-1] == (lock.size, lock.size)


def test_a_download_ends_when_its_progress_is_not_wanted_any_more(lock: Lock, tmp_path: Path) -> None:
    """A command that was interrupted does not wait for it, and nothing half-done is left."""

    def unwanted(done: int, total: int) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        install(tmp_path / "cache", unwanted, lock)
    assert list((tmp_path / "cache").iterdir()) == []


def test_downloads_under_way_end_when_one_of_them_fails(
    repository: Path, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt is told after the chunk in hand, not after the last of 45 MB over a slow line."""
    next(repository.rglob("two-2.0.jar")).unlink()
    seen: list[int] = []

    def slow(done: int, total: int) -> None:
        seen.append(done)
        Event().wait(0.3)

    with pytest.raises(ResourceError, match=r"two-2\.0\.jar"):
        install(tmp_path / "cache", slow, lock)
    assert len(seen) < 70_000 / 8192


def test_what_is_spoiled_in_the_cache_is_fetched_again(lock: Lock, tmp_path: Path) -> None:
    """A changed byte is noticed at the next start."""
    cache = tmp_path / "cache"
    jar = install(cache, lock=lock)[0]
    jar.write_bytes(b"x" * jar.stat().st_size)
    assert install(cache, lock=lock)[0].read_bytes() == CONTENTS["org.one:one:1.0"]


def test_a_file_with_another_sum_is_refused_and_nothing_stays(repository: Path, lock: Lock, tmp_path: Path) -> None:
    """It is named, and no half of an installation is left for the next start."""
    next(repository.rglob("two-2.0.jar")).write_bytes(b"3" * 10)
    with pytest.raises(InputError, match=r"two-2\.0\.jar .*SHA-256 differs"):
        install(tmp_path / "cache", lock=lock)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_the_repository_lacks_is_named(repository: Path, lock: Lock, tmp_path: Path) -> None:
    """With its coordinate."""
    next(repository.rglob("one-1.0.jar")).unlink()
    with pytest.raises(ResourceError, match=r"one-1\.0\.jar is not in the Maven repository .*org\.one:one:1\.0"):
        install(tmp_path / "cache", lock=lock)


def test_no_network_is_one_clear_error(lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the first start needs one, and what can be done without."""
    configuration = tmp_path / "nowhere.conf"
    configuration.write_text("[repositories]\nnowhere = http://127.0.0.1:9\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(configuration))
    with pytest.raises(ResourceError, match=r"could not be downloaded .*first start needs a network"):
        install(tmp_path / "cache", lock=lock)
    assert list((tmp_path / "cache").iterdir()) == []


def test_too_little_room_is_said_before_anything_is_fetched(
    lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is needed, what there is, and the way out."""
    monkeypatch.setattr(artifacts.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ResourceError, match=r"0 MB are free; free some, or set XDG_CACHE_HOME"):
        install(tmp_path / "cache", lock=lock)


def test_a_disk_that_fills_up_meanwhile_is_said(lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a fault of the network."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(ResourceError, match=r"cannot be kept in .*: No space left on device"):
        install(tmp_path / "cache", lock=lock)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(lock: Lock, tmp_path: Path) -> None:
    """A file where a folder should be stands for every such fault."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(ResourceError, match="cannot be kept in"):
        install(tmp_path / "cache", lock=lock)


def test_the_cache_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME if it is absolute, ~/.cache otherwise."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lamppost"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "lamppost"
