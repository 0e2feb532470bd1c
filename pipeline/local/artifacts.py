"""Kafka's files on this machine: fetched once per user, checked against the lock, and never half there."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipeline.errors import InputError, ResourceError
from pipeline.local.lock import Jar, Lock, read_lock

DOWNLOADS: Final = 4
"""At once; more gain nothing, since one file makes a third of the bytes."""
ATTEMPTS: Final = 3
TIMEOUT_SECONDS: Final = 20
ROOM: Final = 3
"""Times the size of the jars that has to be free: the jars, what Java derives from them, and some more."""
STALE_SECONDS: Final = 3600.0
"""After this long the remains of an interrupted download are removed."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and those that there will be; from several threads, one at a time."""


class DownloadCancelled(Exception):
    """Another download has failed, or whoever waits was interrupted; seen by nobody but the download's own thread."""


def cache_folder() -> Path:
    """Where this user's caches go, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the specification has relative paths ignored
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "lamppost"


def install(cache: Path | None = None, progress: Progress | None = None, lock: Lock | None = None) -> list[Path]:
    """The jars of the locked Kafka, in the order of its class path, fetched first if they are not there.

    Each file's SHA-256 is checked at every call (45 MB in 0.07 s). Several processes may install at once. Maven
    repositories set in jgo's own configuration file take the place of the public one. `cache` is the folder to keep
    them in, cache_folder() if not given. Raises ResourceError without a network, room on the disk or the right to
    write, and InputError if a file is not what the lock says.
    """
    lock = lock or read_lock()
    cache = cache or cache_folder()
    folder = cache / f"kafka-{lock.version}-{lock.digest}"
    if not _complete(folder, lock):
        try:
            _make(folder, lock, progress or _silent)
        except OSError as error:
            raise ResourceError(f"Kafka's files cannot be kept in {cache}: {error.strerror or error}") from error
    return [folder / jar.name for jar in lock.jars]


def _complete(folder: Path, lock: Lock) -> bool:
    return folder.is_dir() and all(jar.matches(folder / jar.name) for jar in lock.jars)


def _make(folder: Path, lock: Lock, progress: Progress) -> None:
    """Fetch into a folder beside `folder` and rename it, so that `folder` is complete or not there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < ROOM * lock.size:
        raise ResourceError(
            f"Kafka's files need {ROOM * lock.size / 1e6:.0f} MB in {folder.parent}, {free / 1e6:.0f} MB are free; "
            f"free some, or set XDG_CACHE_HOME to a folder with room"
        )
    part = part_of(folder)
    try:
        _fetch_all(part, lock, progress)
        if folder.exists() and not _complete(folder, lock):
            shutil.rmtree(folder)
        try:
            part.rename(folder)
        except OSError:
            # another process was faster
            if not _complete(folder, lock):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def part_of(folder: Path) -> Path:
    """A new folder beside `folder`, to be renamed to it when it is complete; stale ones of before are removed."""
    for part in folder.parent.glob("*.part-*"):
        if time.time() - part.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(part, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    made.chmod(0o755)  # as other users of a shared cache expect it
    return made


def _fetch_all(part: Path, lock: Lock, progress: Progress) -> None:
    maven = _Maven(part / "repository", lock.size, progress)
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        fetched = [pool.submit(maven.fetch, jar) for jar in sorted(lock.jars, key=lambda jar: -jar.size)]
        try:
            for done in wait(fetched, return_when=FIRST_EXCEPTION).done:
                done.result()
            for jar, file in [done.result() for done in fetched]:
                file.rename(part / jar.name)
        except BaseException:
            maven.cancel()
            pool.shutdown(cancel_futures=True)
            raise
    shutil.rmtree(part / "repository")


class _Maven:
    """Fetches jars with jgo, and counts bytes."""

    def __init__(self, repository: Path, total: int, progress: Progress) -> None:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - 0.2 s that only a download needs
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - the same

        self._maven: Any = MavenContext(
            resolver=PythonResolver(progress_callback=self._watched),
            repo_cache=repository,
            remote_repos=GlobalSettings.load().repositories or None,
            timeout=TIMEOUT_SECONDS,
        )
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """End downloads that are under way when their next bytes come."""
        self._cancelled = True

    def fetch(self, jar: Jar) -> tuple[Jar, Path]:
        """Fetch one jar and check it; tries again after a fault of the network."""
        artifact = self._maven.create_dependency(jar.coordinate).artifact
        for attempt in range(1, ATTEMPTS + 1):
            try:
                artifact.resolve()
                break
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises the other
                if attempt == ATTEMPTS or _of_this_machine(error):
                    raise _unreachable(jar, error) from error
            artifact.cached_path.unlink(missing_ok=True)
        if not jar.matches(artifact.cached_path):
            raise InputError(
                f"{jar.name} as downloaded is not the file that Lamppost was tested with (its SHA-256 differs); "
                f"try again, and if it stays so do not trust the Maven repository or proxy in use"
            )
        return jar, artifact.cached_path

    @contextmanager
    def _watched(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield self._add

    def _add(self, count: int) -> None:
        if self._cancelled:
            raise DownloadCancelled
        with self._lock:
            self._done += count
            self._progress(min(self._done, self._total), self._total)


def _unreachable(jar: Jar, error: Exception) -> Exception:
    """The error for the user, of what went wrong with a download."""
    if _of_this_machine(error):
        return error
    if isinstance(error, RuntimeError):
        return ResourceError(f"{jar.name} is not in the Maven repository in use ({jar.coordinate})")
    return ResourceError(
        f"{jar.name} could not be downloaded ({type(error).__name__}): the first start needs a network; "
        f"behind a proxy set HTTPS_PROXY, or copy {cache_folder()} from a machine that has it"
    )


def _of_this_machine(error: Exception) -> bool:
    """Whether the disk is to blame; errors of the network that reach us here carry no number."""
    return isinstance(error, OSError) and error.errno is not None


def _silent(_done: int, _total: int) -> None:
    """Nobody watches."""
