"""The doctor's judgements: plain values in, one finding out."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

GIB: Final = 2**30
MEMORY_NEEDED: Final = 4 * GIB
"""What the demo's processes hold together at most (PSS)."""
DISK_NEEDED: Final = 5 * GIB
SHARED_MEMORY_NEEDED: Final = 256 * 2**20
"""Ray's object store lies there; Lamppost keeps it empty, but Ray asks for it."""
SOCKET_PATH_LIMIT: Final = 107
"""Bytes of sun_path on Linux without its last zero."""
RAY_SOCKET: Final = "/lp-ray-00000000/r/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"
CLOCK_STEP_SECONDS: Final = 0.01
FAISS_DISTRIBUTIONS: Final = frozenset({"faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss"})


class Status(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    """It will work, but slower or less surely."""
    FAIL = "fail"
    """It will not work."""


class Finding(NamedTuple):
    """What one check found, and what to do about it (empty if nothing)."""

    check: str
    status: Status
    found: str
    advice: str = ""


def judge_python(version: tuple[int, int, int]) -> Finding:
    """Which Python this is."""
    found = ".".join(map(str, version))
    if version[:2] in {(3, 11), (3, 12)}:
        return Finding("Python", Status.OK, found)
    return Finding("Python", Status.FAIL, found, "install Python 3.11 or 3.12: Ray and torch are locked for these")


def judge_cores(cores: float, workers: int, threads: Mapping[str, str], field: str = "run.workers") -> Finding:
    """Cores that this process may use, against the workers that `field` sets; `threads` holds OMP_NUM_THREADS and its
    like."""
    found = f"{cores:g} usable" + "".join(f", {name}={value}" for name, value in threads.items())
    if cores < 2:
        return Finding("cores", Status.WARN, found, "use --workers 1 --fps 1, or give the machine two cores")
    if workers > cores:
        return Finding("cores", Status.WARN, found, f"{field}={workers} share them; use at most {int(cores)}")
    return Finding("cores", Status.OK, found)


def judge_memory(available: int, total: int) -> Finding:
    """Bytes of memory that are free to use, and in all (of the container, if there is one)."""
    found = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available"
    if available >= MEMORY_NEEDED:
        return Finding("memory", Status.OK, found)
    status = Status.FAIL if available < MEMORY_NEEDED / 2 else Status.WARN
    return Finding("memory", status, found, "the demo takes up to 4 GiB: end other programs, or use --workers 1")


def judge_disk(folder: str, free: int) -> Finding:
    """Free bytes where Kafka's local log and Ray's session go."""
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free >= DISK_NEEDED:
        return Finding("disk", Status.OK, found)
    status = Status.FAIL if free < GIB else Status.WARN
    return Finding("disk", status, found, "free some, or point TMPDIR at a short path with 5 GiB free")


def judge_shared_memory(free: int | None) -> Finding:
    """Free bytes of /dev/shm; None if there is none."""
    if free is None:
        return Finding(
            "/dev/shm", Status.WARN, "not there", "mount it (docker run --shm-size 512m): Ray falls back to disk"
        )
    found = f"{free / GIB:.2f} GiB free"
    if free >= SHARED_MEMORY_NEEDED:
        return Finding("/dev/shm", Status.OK, found)
    return Finding("/dev/shm", Status.WARN, found, "give the container more: docker run --shm-size 512m")


def judge_clock(step_seconds: float, synchronised: bool | None) -> Finding:
    """How far the wall clock moved against the monotonic one while watched, and what timedatectl says (None: nothing).

    Capture times are wall-clock times: latency and the age of frames are wrong by as much as clocks differ.
    """
    found = "steady" if abs(step_seconds) < CLOCK_STEP_SECONDS else f"stepped by {step_seconds * 1000:+.0f} ms"
    found += {None: "", True: ", synchronised", False: ", not synchronised"}[synchronised]
    if abs(step_seconds) >= CLOCK_STEP_SECONDS:
        return Finding("clock", Status.WARN, found, "let NTP slew instead of step, and look again")
    if synchronised is False:
        return Finding(
            "clock", Status.WARN, found, "for cameras on other machines switch NTP on: timedatectl set-ntp true"
        )
    return Finding("clock", Status.OK, found)


def judge_faiss(installed: Collection[str]) -> Finding:
    """Which distributions that carry the module faiss are installed."""
    carriers = sorted(FAISS_DISTRIBUTIONS.intersection(installed))
    found = ", ".join(carriers) or "none"
    match len(carriers):
        case 0:
            return Finding("faiss", Status.FAIL, found, "install one extra: pip install 'lamppost[cpu]' (or [gpu])")
        case 1:
            return Finding("faiss", Status.OK, found)
        case _:
            return Finding(
                "faiss", Status.FAIL, found, f"both carry the module faiss: pip uninstall {found.replace(',', '')}, "
                "then install one extra, 'lamppost[cpu]' or 'lamppost[gpu]'",
            )  # fmt: skip


def judge_gpu(wanted: str, torch_sees: Collection[str], driver: bool, faiss_gpu: bool) -> Finding:
    """The device that is set, the GPUs that torch can use, and whether NVIDIA's driver and faiss-gpu are there."""
    found = ", ".join(torch_sees) or ("a driver, but torch sees no GPU" if driver else "none")
    if wanted.startswith("cuda") and not torch_sees:
        return Finding("GPU", Status.FAIL, found, f"vision.device={wanted} cannot be had; set it to auto or cpu")
    if driver and not torch_sees:
        return Finding("GPU", Status.WARN, found, "install a torch built for CUDA (make demo TORCH_INDEX=...)")
    if torch_sees and not faiss_gpu:
        return Finding("GPU", Status.OK, found + "; faiss searches on the CPU", "the extra gpu searches there too")
    return Finding("GPU", Status.OK, found)


def judge_socket_folder(folder: str, writable: bool) -> Finding:
    """Whether Ray's sockets can be made below `folder`: their paths have a limit, so it does not follow TMPDIR."""
    if not writable:
        return Finding("socket folder", Status.FAIL, f"{folder} cannot be written", "make it a writable folder")
    length = len((folder + RAY_SOCKET).encode())
    if length > SOCKET_PATH_LIMIT:
        found = f"{folder} makes socket paths of {length} bytes; {SOCKET_PATH_LIMIT} fit"
        return Finding("socket folder", Status.FAIL, found, "take a shorter folder, such as /tmp")
    return Finding("socket folder", Status.OK, folder)
