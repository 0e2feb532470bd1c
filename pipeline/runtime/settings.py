"""Every setting of Lamppost with its default, unit and bounds; `settings_sources` finds the values.

Constructing `Settings` reads nothing from the world: the environment, the file and the command line's options are
brought together by `pipeline.runtime.settings_sources.resolve` alone. Durations end in ``_seconds`` or ``_ms``. None
means that Lamppost chooses, as each field says.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.catalog.indexes import IndexKind
from pipeline.runtime.settings_cameras import Cameras
from pipeline.runtime.settings_kafka import Kafka, Security
from pipeline.runtime.settings_overload import Overload
from pipeline.runtime.settings_scaling import Scaling
from pipeline.runtime.settings_section import Count, Seconds, Section
from pipeline.vision.shipped import Backbone, shipped_folder

__all__ = [
    "Batch",
    "Cameras",
    "Demo",
    "Kafka",
    "Lifecycle",
    "Matching",
    "Metrics",
    "Overload",
    "Run",
    "Scaling",
    "Security",
    "Settings",
    "Vision",
    "Watchlist",
]

ENVIRONMENT_PREFIX = "LAMPPOST_"
NESTED_DELIMITER = "__"


class Run(Section):
    """One supervisor and its workers."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$")] | None = None
    """Name of the run: small letters, digits and hyphens; the same name adopts a run. None: one is made and printed."""
    group: Annotated[str, Field(min_length=1, max_length=200)] = "lamppost"
    """Consumer group; runs of one group share the work."""
    ray: str | None = None
    """Address of a Ray cluster, such as auto or ray://head:10001; None: start a local Ray."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Partitions of `frames`, and of the topics that follow it."""
    workers: Annotated[int, Field(ge=1, le=1_000)] = 2
    """Vision workers of a fixed pool; each needs a partition of its own."""

    @model_validator(mode="after")
    def _partition_for_each_worker(self) -> Self:
        if self.partitions < self.workers:
            raise ValueError(
                f"partitions={self.partitions} is less than workers={self.workers}, and a worker without a partition "
                f"has nothing to do; set run.partitions to at least {self.workers} or run.workers to at most "
                f"{self.partitions}"
            )
        return self


class Batch(Section):
    """How frames are gathered before each hop."""

    limit: Annotated[int, Field(ge=1, le=512)] = 32
    """Frames per batch, at most."""
    linger_ms: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)] = 20.0
    """How long to wait for more frames once the first is there."""
    decode_threads: Count | None = None
    """Threads that decode JPEGs in each worker; None: the worker's share of the cores."""


class Vision(Section):
    """The networks and where they compute."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """The word auto, cpu, cuda or cuda:N; auto takes a GPU if there is one. A Ray of your own chooses which."""
    gpu_share: Annotated[float, Field(ge=0.0001, le=1)] | None = None
    """Share of a GPU that each worker takes; None: workers are spread evenly over the GPUs that there are."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Arithmetic of the shipped networks; auto: what a short probe at start finds fastest."""
    threads: Count | None = None
    """Compute threads of each worker; None: the worker's share of the cores."""
    backbone: Backbone = "compact"
    """Which of the shipped embedders looks; resnet50 costs fifty times as much and is no better, see docs/models.md."""
    weights: Path | None = None
    """Folder of networks and threshold that `lamppost train` wrote; None: the shipped ones."""
    embedder_model: Path | None = None
    """Manifest (TOML) of an embedder of your own, as docs/models.md describes; None: the shipped one."""
    detector_model: Path | None = None
    """Manifest (TOML) of a detector of your own; None: the shipped one."""

    @model_validator(mode="after")
    def _networks_named_once(self) -> Self:
        if self.weights is not None and self.backbone != "compact":
            raise ValueError(
                f"backbone={self.backbone} is one of the shipped embedders, and weights={self.weights} names others; "
                "leave one of vision.backbone and vision.weights out"
            )
        return self

    @property
    def folder(self) -> Path | None:
        """The folder of the networks and their threshold; None for the default."""
        if self.weights is not None:
            return self.weights
        return None if self.backbone == "compact" else shipped_folder(self.backbone)


class Matching(Section):
    """The search, and when a match becomes an alert."""

    shards: Annotated[int, Field(ge=1, le=1_000)] = 2
    """Shards that the watchlist is split over."""
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that hold each shard, on different nodes if there are as many; one that is lost is not missed."""
    index: IndexKind = "flat"
    """Index of each shard, as docs/matching.md compares them; `gpu-flat` and `cagra` need a GPU, `cagra` cuVS too."""
    rebuild_seconds: Seconds = 30.0
    """How soon after a removal a kind other than `flat` begins to build the index that does not hold the template."""
    threshold: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    """Cosine from which a candidate is a match; None: the one that came with the embedder."""
    top_k: Annotated[int, Field(ge=1, le=16)] = 3
    """Candidates asked of each shard for each face; 16 at most, whose references still travel in one call."""
    on_shard_loss: Literal["wait", "degrade"] = "wait"
    """`wait` pauses consumption while a shard is missing; `degrade` searches the rest and says so everywhere."""
    search_deadline_seconds: Seconds = 2.0
    """Time in which a replica of each shard has to answer."""
    cool_down_seconds: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 30.0
    """After an alert, how long the same entry at the same camera raises no other, in capture time."""


class Watchlist(Section):
    """What is loaded into the watchlist topic."""

    list_id: Annotated[str, Field(min_length=1, max_length=200)] = "default"
    """List that entries are loaded into when none is named."""


class Demo(Section):
    """The demo's length, people and output; its cameras and workers are set where every command's are."""

    seconds: Annotated[float, Field(ge=5, le=86_400, allow_inf_nan=False)] = 60.0
    """How long the cameras send."""
    watchlist_size: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Entries of the watchlist; a part of them walks through the street."""
    out: Path = Path("out")
    """Folder for summary.json, the sample frame and the latency plot."""


class Metrics(Section):
    """What Prometheus can scrape."""

    per_camera_limit: Annotated[int, Field(ge=0)] = 64
    """Places that a process labels its metrics with: cameras up to it, above it districts up to it, and `other`."""
    host: str = "127.0.0.1"
    """Address that metrics and service discovery listen on; 0.0.0.0 lists targets by their machines' addresses."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port of service discovery; 0: a free one, printed at start. Each process's own port is always a free one."""

    @field_validator("host")
    @classmethod
    def _host_or_address(cls, host: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
            raise ValueError(f"{host!r} is no host; write a name or an address, such as 127.0.0.1")
        return host


class Lifecycle(Section):
    """Starting and ending."""

    start_seconds: Seconds = 120.0
    """Time in which Kafka, Ray, workers and shards have to be up; what still gets on is waited for longer."""
    drain_seconds: Seconds = 20.0
    """Time in which a run has to finish what it holds after the first SIGINT or SIGTERM."""
    lease_seconds: Annotated[float, Field(ge=2, le=20, allow_inf_nan=False)] = 20.0
    """Processes of a run end themselves when their supervisor, or it its command, was silent for as long."""


class Settings(BaseSettings):
    """All settings, frozen; construct it with keyword arguments in tests, resolve it everywhere else."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=NESTED_DELIMITER,
        env_ignore_empty=True,
    )

    kafka: Kafka = Kafka()
    run: Run = Run()
    scaling: Scaling = Scaling()
    batch: Batch = Batch()
    overload: Overload = Overload()
    vision: Vision = Vision()
    matching: Matching = Matching()
    watchlist: Watchlist = Watchlist()
    cameras: Cameras = Cameras()
    demo: Demo = Demo()
    metrics: Metrics = Metrics()
    lifecycle: Lifecycle = Lifecycle()

    @property
    def least_workers(self) -> int:
        """Workers of a run at its start, and the fewest that it has."""
        return self.run.workers if self.scaling.max is None else self.scaling.min or 1

    @property
    def most_workers(self) -> int:
        """The most workers that a run has at a time."""
        return self.scaling.max or self.run.workers

    @property
    def most_workers_field(self) -> str:
        """The dotted field that says how many these are."""
        return "run.workers" if self.scaling.max is None else "scaling.max"

    @model_validator(mode="after")
    def _elastic_pool_fits(self) -> Self:
        most, run, overload = self.scaling.max, self.run, self.overload
        if most is None:
            return self
        if "workers" in run.model_fields_set:
            raise ValueError(
                f"run.workers={run.workers} and scaling.max={most} are both set, and a pool is fixed or elastic; leave "
                f"run.workers out for an elastic pool, or scaling for a fixed one"
            )
        if run.partitions < most:
            raise ValueError(
                f"run.partitions={run.partitions} is less than scaling.max={most}, and a worker without a partition "
                f"has nothing to do; set run.partitions to at least {most} or scaling.max to at most {run.partitions}"
            )
        target, oldest = self.scaling.target_lag_seconds, overload.max_age_seconds
        if overload.policy == "shed-oldest" and target >= oldest:
            raise ValueError(
                f"scaling.target_lag_seconds={target:g} is not less than overload.max_age_seconds={oldest:g}, at which "
                f"shed-oldest drops a frame, so none would wait as long; lower scaling.target_lag_seconds, raise "
                f"overload.max_age_seconds, or set overload.policy to block"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the hook's signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - read by settings_sources, which records origins
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there is one settings file, and it is TOML
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - secrets have fields of their own
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the constructor is given."""
        return (init_settings,)
