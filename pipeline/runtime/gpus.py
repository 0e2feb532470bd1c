"""GPUs: how many a local Ray has, and which share of one each worker asks Ray for."""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.errors import SettingsError

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
DRIVERS: Final = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
"""Device files of the drivers that torch's GPUs come with on Linux, on Windows's Linux, and of AMD."""
PARTS: Final = 10_000
"""Ray counts a GPU in ten-thousandths."""
SEARCH_SHARE: Final = 0.01
"""Of a GPU in Ray's books, for each process that searches on one: a search takes it for moments only."""


class LocalGpus(NamedTuple):
    """What a Ray on this machine is started with."""

    number: int
    environment: Mapping[str, str]
    """What lets its processes see no other GPU; empty if they may see all."""


def machine_gpus() -> int:
    """GPUs that torch could use here; torch is asked, and loaded, only where there is a driver."""
    if not any(driver.exists() for driver in DRIVERS):
        return 0
    try:
        import torch  # noqa: PLC0415  # loads in workers alone on a machine without GPUs
    except ImportError:
        return 0
    return int(torch.cuda.device_count())


def local_gpus(device: str, there: Callable[[], int] = machine_gpus) -> LocalGpus:
    """The GPUs that a local Ray gets for `device`, a value of ``vision.device``; `there` counts those of the machine.

    One that is named by its number is the only one. Raises SettingsError if there is none, or none of that number.
    """
    if device == "cpu":
        return LocalGpus(0, {})
    count = there()
    kind, _, number = device.partition(":")
    if kind == "auto" or (count and not number):
        return LocalGpus(count, {})
    if not count:
        raise SettingsError(f"vision.device is {device}, but torch sees no GPU here; set it to cpu or auto")
    if int(number) >= count:
        raise SettingsError(
            f"vision.device is {device}, but torch sees {count} GPU(s) here, counted from 0; set it to one of them"
        )
    visible = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return LocalGpus(1, {VISIBLE: visible[int(number)] if visible else number})


def torch_device(device: str, there: Callable[[], int]) -> str:
    """The torch device of a command that computes in its own process, for `device`, a value of ``vision.device``.

    Auto takes a GPU if `there` counts one. Raises SettingsError if there is none, or none of the number that is named.
    """
    gpus = local_gpus(device, there).number
    if device == "auto":
        return "cuda" if gpus else "cpu"
    return device


def gpu_share(
    device: str,
    chosen: float | None,
    workers: int,
    gpus: int,
    *,
    grows: bool,
    field: str = "run.workers",
    searching: int = 0,
) -> float:
    """The share of a GPU, 0 to 1, that each worker asks Ray for.

    `device` and `chosen` are ``vision.device`` and ``vision.gpu_share``, `gpus` is what Ray has now; `grows` tells
    whether it may get more when they are asked for; `field` is the setting that says how many workers there are;
    `searching` processes take `SEARCH_SHARE` besides, and may all be on one GPU. Without a chosen share workers are
    spread evenly. Raises SettingsError if a GPU is wanted and Ray has none, or if the workers would never fit.
    """
    if device == "cpu" or (device == "auto" and not gpus):
        return 0.0
    if chosen is None:
        if not gpus:
            raise SettingsError(
                f"vision.device is {device}, but Ray has no GPU; set it to cpu, or vision.gpu_share if nodes with "
                f"GPUs come when they are asked for"
            )
        return (PARTS - _search_parts(searching)) // math.ceil(workers / gpus) / PARTS
    room = (PARTS - _search_parts(searching)) // round(chosen * PARTS) * gpus if gpus else 0
    if room < workers and not grows:
        raise SettingsError(
            f"vision.gpu_share={chosen:g} leaves room for {room} workers on {gpus} GPU(s), and {field} is "
            f"{workers}; lower one of them"
        )
    return chosen


def search_gpu_share(index: str, on_gpu: bool, processes: int, gpus: int, *, grows: bool) -> float:
    """The share of a GPU that each of `processes` asks Ray for to search an `index`, a value of ``matching.index``.

    Raises SettingsError if the index is `on_gpu` and Ray has no GPU, or if one would not hold them all beside workers.
    """
    if not on_gpu:
        return 0.0
    if not grows and not gpus:
        raise SettingsError(f"matching.index is {index}, but Ray has no GPU; set it to flat, hnsw or ivf-pq-fastscan")
    if _search_parts(processes) > PARTS // 2:
        raise SettingsError(
            f"matching.index is {index}, and {processes} replicas of shards are too many: Ray may place all on one "
            f"GPU, which holds {round(0.5 / SEARCH_SHARE)}; lower matching.shards or matching.replicas"
        )
    return SEARCH_SHARE


def _search_parts(processes: int) -> int:
    """Parts of each GPU that processes which search may take: Ray fills one GPU before it uses another."""
    return processes * round(SEARCH_SHARE * PARTS)
