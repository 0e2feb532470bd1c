"""What a fleet is made of, as plain values that travel to the process that runs it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import msgspec

from pipeline.cameras.fleet import Camera
from pipeline.cameras.folder import FolderSource
from pipeline.cameras.source import PictureSource
from pipeline.cameras.synthetic import Loop, SyntheticSource, exact_rate
from pipeline.cameras.video import VideoSource
from pipeline.core.pacing import phase_ns
from pipeline.core.sharding import partition_of
from pipeline.synthetic.street import StreetSpec

USUAL_RATE = Fraction(25)
"""Frames per second that videos are taken to have when cameras are spread over the time of a frame."""


class SyntheticCamera(msgspec.Struct, frozen=True):
    """A camera that shows a street; cameras with equal streets share one rendered loop."""

    id: str
    street: StreetSpec


class VideoCamera(msgspec.Struct, frozen=True):
    """A camera that plays a video file; larger pictures are fitted into `width` × `height` pixels."""

    id: str
    path: Path
    width: int = 1280
    height: int = 720
    loop: bool = False


class FolderCamera(msgspec.Struct, frozen=True):
    """A camera that shows the images of a folder by name; larger ones are fitted into `width` × `height` pixels."""

    id: str
    path: Path
    fps: float = 2.0
    width: int = 1280
    height: int = 720
    loop: bool = False


AnyCamera = SyntheticCamera | VideoCamera | FolderCamera


class FleetPlan(msgspec.Struct, frozen=True):
    """The cameras of one fleet; their place in `cameras` decides their partitions and phases."""

    cameras: tuple[AnyCamera, ...]
    seconds: float | None = None
    """How long they send; None: until stopped, or until every source has ended."""

    @property
    def streets(self) -> tuple[StreetSpec, ...]:
        """The streets that have to be rendered ahead."""
        return tuple(camera.street for camera in self.cameras if isinstance(camera, SyntheticCamera))


def open_sources(cameras: Sequence[AnyCamera], loops: Mapping[StreetSpec, Loop]) -> tuple[PictureSource, ...]:
    """A source for each camera; raises InputError naming the file that can't be used, with all others closed again."""
    sources: list[PictureSource] = []
    try:
        for camera in cameras:
            sources.append(_source(camera, loops))  # noqa: PERF401 - what is open so far must be closed on failure
    except BaseException:
        for source in sources:
            source.close()
        raise
    return tuple(sources)


def placed(cameras: Sequence[AnyCamera], sources: Sequence[PictureSource], partitions: int) -> tuple[Camera, ...]:
    """Cameras on partitions by the rule of `core.sharding`, their first instants spread over the time of a frame."""
    return tuple(
        Camera(
            camera.id,
            partition_of(index, partitions),
            source,
            phase_ns(index, len(cameras), _rate(camera)),
        )
        for index, (camera, source) in enumerate(zip(cameras, sources, strict=True))
    )


def _source(camera: AnyCamera, loops: Mapping[StreetSpec, Loop]) -> PictureSource:
    match camera:
        case SyntheticCamera(street=street):
            return SyntheticSource(loops[street], exact_rate(street.fps))
        case VideoCamera():
            return VideoSource(camera.path, width=camera.width, height=camera.height, loop=camera.loop)
        case FolderCamera():
            return FolderSource(
                camera.path,
                fps=exact_rate(camera.fps),
                width=camera.width,
                height=camera.height,
                loop=camera.loop,
            )


def _rate(camera: AnyCamera) -> Fraction:
    match camera:
        case SyntheticCamera(street=street):
            return exact_rate(street.fps)
        case FolderCamera(fps=fps):
            return exact_rate(fps)
        case VideoCamera():
            return USUAL_RATE
