"""What will not work on this machine, or with the Kafka and the Ray that are set, and what to do about it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Final

import psutil

from pipeline.catalog.indexes import GPU_INDEXES
from pipeline.errors import LamppostError
from pipeline.runtime import doctor_checks as checks
from pipeline.runtime import doctor_services
from pipeline.runtime.doctor_checks import Finding, Status
from pipeline.runtime.gpus import torch_device
from pipeline.runtime.settings import Settings

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CLOCK_WATCH_SECONDS: Final = 0.2
RAY_FOLDER: Final = "/tmp"
"""Where the local Ray makes its folder."""

__all__ = ["Finding", "Status", "examine"]


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn, yielded as it is made; Kafka and Ray are asked only if their addresses are set.

    A check that breaks down itself is a finding too and does not keep the others from being made.
    """
    for name, check in _machine(settings) + doctor_services.checks_of(settings):
        try:
            yield from check()
        except LamppostError as error:
            yield Finding(name, Status.FAIL, str(error))
        except (OSError, RuntimeError, ValueError, ImportError, subprocess.SubprocessError) as error:
            yield Finding(name, Status.WARN, f"could not be looked at: {error!r}")


def _machine(settings: Settings) -> list[tuple[str, Callable[[], list[Finding]]]]:
    return [
        ("Python", lambda: [checks.judge_python(sys.version_info[:3])]),
        ("cores", lambda: [_cores(settings)]),
        ("memory", lambda: [_memory()]),
        ("disk", lambda: [_disk()]),
        ("/dev/shm", lambda: [_shared_memory()]),
        ("socket folder", lambda: [checks.judge_socket_folder(RAY_FOLDER, os.access(RAY_FOLDER, os.W_OK))]),
        ("clock", lambda: [checks.judge_clock(_clock_step(), _synchronised())]),
        ("faiss", lambda: [checks.judge_faiss(_installed())]),
        ("GPU", lambda: [_gpu(settings)]),
        ("index", lambda: _index(settings)),
        ("weights", lambda: _weights(settings)),
        ("precision", lambda: [_precision(settings)]),
        ("own models", lambda: _own_models(settings)),
    ]


def _cores(settings: Settings) -> Finding:
    threads = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    cores = len(os.sched_getaffinity(0))
    return checks.judge_cores(cores, settings.most_workers, threads, settings.most_workers_field)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    return checks.judge_memory(memory.available, memory.total)


def _disk() -> Finding:
    folder = tempfile.gettempdir()
    return checks.judge_disk(folder, shutil.disk_usage(folder).free)


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")
    return checks.judge_shared_memory(shutil.disk_usage(folder).free if folder.is_dir() else None)


def _clock_step() -> float:
    """Seconds by which the wall clock departed from the monotonic one while watched."""
    before = time.time() - time.monotonic()
    time.sleep(CLOCK_WATCH_SECONDS)
    return time.time() - time.monotonic() - before


def _synchronised() -> bool | None:
    """What timedatectl says of NTP; None where it is not there or does not know."""
    command = shutil.which("timedatectl")
    if command is None:
        return None
    said = subprocess.run(
        [command, "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    ).stdout.strip()
    return {"yes": True, "no": False}.get(said)


def _installed() -> set[str]:
    return {name.lower() for distribution in distributions() if (name := distribution.name)}


def _gpu(settings: Settings) -> Finding:
    import torch  # noqa: PLC0415 - two seconds that only this check is worth

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    driver = shutil.which("nvidia-smi") is not None
    return checks.judge_gpu(
        settings.vision.device, names, driver, any("gpu" in name for name in _installed() & checks.FAISS_DISTRIBUTIONS)
    )


def _index(settings: Settings) -> list[Finding]:
    """Whether a shard here could have the index that is set; nothing for one that needs no GPU."""
    from pipeline.matching.gpu import lacking  # noqa: PLC0415 - imports numba

    kind = settings.matching.index
    if kind not in GPU_INDEXES:
        return []
    if problem := lacking(GPU_INDEXES[kind]):
        advice = "otherwise set it to flat, hnsw or ivf-pq-fastscan"
        return [Finding("index", Status.FAIL, f"matching.index is {kind}, but {problem}", advice)]
    return [Finding("index", Status.OK, kind)]


def _weights(settings: Settings) -> list[Finding]:
    from pipeline.vision.weights import load_weights  # noqa: PLC0415 - imports torch

    folder = settings.vision.folder
    versions = {name: load_weights(name, folder).version for name in ("detector", "embedder")}
    return [Finding("weights", Status.OK, ", ".join(f"{name} {digits}" for name, digits in versions.items()))]


def _precision(settings: Settings) -> Finding:
    """The arithmetic that a worker would choose here; a probe of about a second unless one is set."""
    import torch  # noqa: PLC0415 - as above

    from pipeline.vision.eyes import load_eyes  # noqa: PLC0415 - imports torch

    vision = settings.vision
    device = torch_device(vision.device, torch.cuda.device_count)
    eyes = load_eyes(device, vision.threads or 1, vision.precision, vision.folder)
    found = f"detector {eyes.detector.precision}, embedder {eyes.embedder.precision} (vision.precision="
    return Finding("precision", Status.OK, f"{found}{vision.precision})")


def _own_models(settings: Settings) -> list[Finding]:
    """The networks of the user's own, loaded and probed as a worker does; nothing if none is set."""
    from pipeline.vision.own_models import OwnDetector, OwnEmbedder  # noqa: PLC0415 - imports torch

    found = []
    if (path := settings.vision.detector_model) is not None:
        found.append(Finding("own detector", Status.OK, f"{path}, version {OwnDetector(path).version}"))
    if (path := settings.vision.embedder_model) is not None:
        own = OwnEmbedder(path)
        found.append(Finding("own embedder", Status.OK, f"{path}, dimension {own.dimension}, version {own.version}"))
    return found


def library_versions() -> dict[str, str]:
    """Versions of what computes or carries frames, as the summary records them."""
    return {
        name: _version(name) for name in ("ray", "torch", "confluent-kafka", "numpy", "numba", "opencv-python-headless")
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
