"""The lock of Kafka's files: every jar that a broker loads, by Maven coordinate, size and SHA-256.

``python -m pipeline.local.lock`` writes it anew, for the newest release of the line that Lamppost is tested with, or
for the version that is named. It needs a network, and no Java or Maven.
"""

import argparse
import hashlib
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import InputError

KAFKA: Final = "org.apache.kafka:kafka_2.13"
LINE: Final = "4.4"
"""Kafka's release line; a new one is a change to test."""
LOG_BINDING: Final = "org.slf4j:slf4j-simple"
"""Writes Kafka's log to standard error; Kafka publishes its own binding (log4j, slower to start) in no artifact."""
LOG_API: Final = "org.slf4j:slf4j-api"
PATH: Final = Path(__file__).with_name("kafka.lock")
HEADER: Final = """\
# Every file that a local Kafka loads. Written by `python -m pipeline.local.lock`; each download is checked against it.

"""


@dataclass(frozen=True, slots=True)
class Jar:
    """One file: its Maven coordinate ``group:artifact:version``, its size in bytes and its SHA-256 in hex."""

    coordinate: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name, as Maven calls it."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def matches(self, file: Path) -> bool:
        """Whether `file` has this size and this SHA-256; False if it cannot be read."""
        try:
            return file.stat().st_size == self.size and digest_of(file) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Lock:
    """The jars of one Kafka version, in the order of the class path."""

    version: str
    jars: tuple[Jar, ...]

    @property
    def size(self) -> int:
        """Bytes of all jars."""
        return sum(jar.size for jar in self.jars)

    @property
    def digest(self) -> str:
        """Twelve hex digits that stand for every file of it."""
        return hashlib.sha256("".join(jar.sha256 for jar in self.jars).encode()).hexdigest()[:12]


def digest_of(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_lock(path: Path = PATH) -> Lock:
    """The lock in a file; raises InputError if it is not one."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        jars = tuple(Jar(each["coordinate"], each["size"], each["sha256"]) for each in told["jar"])
        return Lock(told["version"], jars)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a lock of Kafka's files: {error!r}; install Lamppost anew") from error


def written(lock: Lock) -> str:
    """The text of a lock's file."""
    blocks = [
        f'[[jar]]\ncoordinate = "{jar.coordinate}"\nsize = {jar.size}\nsha256 = "{jar.sha256}"\n' for jar in lock.jars
    ]
    return HEADER + f'version = "{lock.version}"\n\n' + "\n".join(blocks)


def newest(versions: Iterable[str], line: str = LINE) -> str:
    """The greatest release ``LINE.N``; candidates and snapshots do not count. Raises InputError if there is none."""
    patches = [version.removeprefix(f"{line}.") for version in versions if version.startswith(f"{line}.")]
    numbers = [int(patch) for patch in patches if patch.isdecimal()]
    if not numbers:
        raise InputError(f"Maven knows no release of Kafka {line}; name a version")
    return f"{line}.{max(numbers)}"


def resolve(version: str | None) -> Lock:
    """Ask Maven which files a Kafka needs at run time, and fetch and sum them; `version` None means the newest."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - only a new lock needs it

    with tempfile.TemporaryDirectory(prefix="lamppost-lock-") as folder:
        maven: Any = MavenContext(repo_cache=Path(folder), timeout=60)
        if version is None:
            project = maven.project(*KAFKA.split(":"))
            project.update()
            version = newest(component.version for component in project.versions())
        [kafka], needed = maven.resolver.resolve([maven.create_dependency(f"{KAFKA}:{version}")])
        [api] = [each.version for each in needed if f"{each.groupId}:{each.artifactId}" == LOG_API]
        wanted = [kafka, *needed, maven.create_dependency(f"{LOG_BINDING}:{api}")]
        jars = [_jar(f"{each.groupId}:{each.artifactId}:{each.version}", each.artifact.resolve()) for each in wanted]
        return Lock(version, (jars[0], *sorted(jars[1:], key=lambda jar: jar.coordinate)))


def _jar(coordinate: str, file: Path) -> Jar:
    return Jar(coordinate, file.stat().st_size, digest_of(file))


def main(arguments: list[str]) -> None:
    """Write the lock anew."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.local.lock", description="Write kafka.lock anew.")
    parser.add_argument("version", nargs="?", help=f"Kafka's version; the newest {LINE} if not given")
    lock = resolve(parser.parse_args(arguments).version)
    PATH.write_text(written(lock), encoding="utf-8")
    sys.stdout.write(f"{PATH}: Kafka {lock.version}, {len(lock.jars)} files, {lock.size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
