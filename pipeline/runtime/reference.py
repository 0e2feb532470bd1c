"""Writes the pages of docs/ that follow from code: settings, metrics, roles, and the schemas of results.

``python -m pipeline.runtime.reference [FOLDER]`` writes them; tests hold the committed ones against this module.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.catalog import metrics
from pipeline.catalog.difficulties import DIFFICULTIES, Difficulty
from pipeline.catalog.roles import ROLES, Kind, Right
from pipeline.catalog.topics import FRAME_BYTES, RECORD_BYTES, TOPICS, Topic, insync_of, replication_on
from pipeline.runtime.evaluation_results import evaluation_schema
from pipeline.runtime.live_cohorts import live_cohorts_schema
from pipeline.runtime.settings_reference import as_markdown
from pipeline.runtime.summary import summary_schema
from pipeline.streams.deletion import CHECK_INTERVAL_MS, CLEANER_BACKOFF_MS, longest_stay_ms


def metrics_page() -> str:
    """The page docs/metrics.md, from the catalogue."""
    rows = [
        f"| `{metric.name}{'_total' if metric.kind is metrics.Kind.COUNTER else ''}` | {metric.kind} | "
        f"{', '.join(f'`{label}`' for label in metric.labels) or '–'} | {metric.help} |"
        for metric in metrics.ALL
    ]
    return "\n".join([_METRICS_PREFACE, "| metric | type | labels | what it is |", "|---|---|---|---|", *rows, ""])


def roles_page() -> str:
    """The page docs/roles.md: what each role is allowed, and why, from the catalogue."""
    lines = [_ROLES_PREFACE]
    for role in ROLES:
        lines += [f"## `{role.name}`", "", f"{role.purpose[0].upper()}{role.purpose[1:]}.", ""]
        lines += ["| on | may | for |", "|---|---|---|"]
        lines += [
            f"| {_resource(right)} | {', '.join(operation.removesuffix(' of') for operation in right.operations)} | "
            f"{right.why} |"
            for right in role.rights
        ]
        lines.append("")
    return "\n".join(lines)


def _resource(right: Right) -> str:
    if right.name is not None:
        return f"{right.kind} `{right.name}`"
    return {
        Kind.GROUP: "group of the run: `run.group`",
        Kind.TRANSACTIONAL_ID: "transactional ids of the run: its name and what follows",
    }.get(right.kind, str(right.kind))


def difficulties_page() -> str:
    """The page docs/difficulties.md: the distribution of every nuisance, from the catalogue."""
    names = [name for name in Difficulty.__struct_fields__ if name not in {"name", "purpose"}]
    rows = [
        f"| {name.replace('_', ' ')} | "
        + " | ".join(_cell(getattr(each, name)) for each in DIFFICULTIES.values())
        + " |"
        for name in names
    ]
    return "\n".join(
        [
            _DIFFICULTIES_PREFACE,
            *(f"- `{each.name}`: {each.purpose}." for each in DIFFICULTIES.values()),
            "",
            "| nuisance | " + " | ".join(f"`{name}`" for name in DIFFICULTIES) + " |",
            "|---|" + "---|" * len(DIFFICULTIES),
            *rows,
            "",
        ]
    )


def topics_page() -> str:
    """The page docs/topics.md: the topics with all that is set of them, and what is promised of their deletion."""
    rows = [
        f"| `{topic.name}` | {topic.purpose} | {topic.key} | {_partitions(topic)} | {_kept(topic)} |"
        for topic in TOPICS
    ]
    settings = [
        f"| `{topic.name}` | `{name}` | `{value}` |" for topic in TOPICS for name, value in topic.config.items()
    ]
    replicas = [
        f"| {brokers} | {replication_on(brokers)} | {insync_of(replication_on(brokers))} |" for brokers in (1, 2, 3)
    ]
    promises = [
        f"| {each.what} | `{topic.name}` | {each.since} | {each.within_seconds} s | "
        f"{longest_stay_ms(topic, topic.config) / 1000:.0f} s |"
        for topic in TOPICS
        if (each := topic.deletion) is not None
    ]
    return "\n".join(
        [
            _TOPICS_PREFACE,
            "| topic | what it holds | key | partitions | kept |",
            "|---|---|---|---|---|",
            *rows,
            "",
            _TOPICS_REPLICATION,
            "| brokers | replicas | `min.insync.replicas` |",
            "|---|---|---|",
            *replicas,
            "",
            _TOPICS_SETTINGS,
            "| topic | setting | value |",
            "|---|---|---|",
            *settings,
            "",
            _TOPICS_LIMITS,
            _TOPICS_DELETION,
            "| what | topic | counted from | gone within | at the latest by these settings |",
            "|---|---|---|---|---|",
            *promises,
            "",
            _TOPICS_END,
        ]
    )


def _partitions(topic: Topic) -> str:
    if topic.partitions is not None:
        return str(topic.partitions)
    return "`run.partitions`" if topic.follows is None else f"as `{topic.follows}`, or more"


def _kept(topic: Topic) -> str:
    if topic.config["cleanup.policy"] == "compact":
        return "the last record of each key"
    seconds = int(topic.config["retention.ms"]) // 1000
    return f"{seconds // 86_400} days" if seconds >= 86_400 else f"{seconds} s"


def _cell(value: object) -> str:
    return f"{value[0]:g} … {value[1]:g}" if isinstance(value, tuple) else str(value)


def pages() -> Mapping[str, str]:
    """File name in docs/ to text."""
    return {
        "settings.md": as_markdown(),
        "topics.md": topics_page(),
        "difficulties.md": difficulties_page(),
        "metrics.md": metrics_page(),
        "roles.md": roles_page(),
        "cohorts.schema.json": json.dumps(live_cohorts_schema(), indent=2) + "\n",
        "evaluation.schema.json": json.dumps(evaluation_schema(), indent=2) + "\n",
        "summary.schema.json": json.dumps(summary_schema(), indent=2) + "\n",
    }


def main(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


_METRICS_PREFACE = """# Metrics

Every process serves its metrics in Prometheus's text format on a free port of its own. `lamppost run` and
`lamppost demo` serve the list of their processes for Prometheus's HTTP service discovery, `lamppost cameras` its own;
the address is printed at start, and `metrics.port` fixes it:

```yaml
scrape_configs:
  - job_name: lamppost
    http_sd_configs:
      - url: http://127.0.0.1:9100/targets
```

Units are seconds, bytes and counts. Gauges and histograms are exported from their first value on, so a process shows
only what it measures. With `metrics.host` 0.0.0.0 each process is listed with the address of its own
machine, as Ray knows it.

The label `place` is the camera id while a process has seen at most `metrics.per_camera_limit` cameras. Above it the
label is the district, the part of the id before the first slash, for all of them; as many districts have a label of
their own, and further ones, and cameras whose ids have no slash, are `other`. (At 0, which switches labels by camera
off, 64 districts have.) `unknown` is the place of records without a camera to trust and counts as none. So a process
never exports more than the limit's places and these two, and sums over places never step: when a process passes the
limit, what its cameras had counted is added to their districts. Each process decides by what it sees itself, so while a
worker with few cameras still labels by camera, another may label by district; a demo's or a run's own report is by
district once one of its workers is.
"""

_ROLES_PREFACE = """# Roles

Who does what on Kafka, and the least that each has to be allowed for it, as data (`pipeline/catalog/roles.py`).
`lamppost topics create --acls` makes the ACLs; [Securing the wire](securing-the-wire.md) says how. Whatever is not here
is not allowed. In Kafka to read or to write includes to describe.

With `kafka.acls.prefix` (`--acl-prefix`) the worker's group and transactional ids are all those that begin so. Without
it they are `run.group` alone, and the ids of `run.name`; if that is not set, of the names that `lamppost run` makes.
"""

_DIFFICULTIES_PREFACE = """# Difficulties

How hard a place is for a camera, as data (`pipeline/catalog/difficulties.py`, where each field says what it is). Shares
are of the people who pass. Two numbers are the ends of an even distribution, or, for exposure and warmth, mean and
standard deviation of a normal one. Everything is drawn from the seed, so a picture can be made again anywhere.
"""

_TOPICS_PREFACE = """# Topics

The topics as data (`pipeline/catalog/topics.py`). `lamppost topics create` makes those that are missing and leaves the
others as they are, so it may run as often as you like. `lamppost topics show` says what is there, and never fails for
it. `lamppost topics check` is for scripts: it lists every topic and every broker with all that departs from this page,
says what that means for pictures and templates, and ends with code 1 if there is anything:

```
$ lamppost topics check --brokers kafka:9092 --partitions 8
place      state  setting                          found    wanted         what it means
frames     drift  retention.ms                     -1       120000         pictures stay in the files for ever; 180 s …
watchlist  ok                                      1 partition, 3 replicas
…
broker 2   drift  log.retention.check.interval.ms  300000   at most 10000  expired frames are deleted only when the …
```

Where the output is no terminal, columns are separated by tabs. Partitions are compared if a number is given
(`--partitions`, `run.partitions`), replicas with `--replication` or `kafka.replication` if that is set. A broker whose
settings this user may not read (DescribeConfigs on the cluster), or that does not answer, is `unknown` and ends with
code 1 as well.
"""
_TOPICS_REPLICATION = """## Replication

A topic has three replicas, or as many as there are brokers when it is made; `kafka.replication` sets another number. Of
the replicas so many have a record before it counts as written:
"""
_TOPICS_SETTINGS = """With other numbers `min.insync.replicas` is half of the replicas, rounded up.

## Settings
"""
_TOPICS_LIMITS = f"""## Limits

A picture has {FRAME_BYTES:,} bytes at most (4 MiB). A record of `frames`, and so `max.message.bytes`, the producer's
`message.max.bytes` and the consumer's `fetch.message.max.bytes`, may have {RECORD_BYTES:,}: Kafka's limits count key,
headers and framing as well. The broker's own `message.max.bytes` does not matter, since the topic's stands over it;
`socket.request.max.bytes` does, and is checked. A picture over the limit fails at its camera, which counts it
(`lamppost_camera_frames_total{{state="too_large"}}`) and says so at its end; one of another producer's that fits into a
record becomes a dead letter.
"""
_TOPICS_DELETION = f"""## Deletion

With brokers that look for expired segments every {CHECK_INTERVAL_MS // 1000} s (`log.retention.check.interval.ms`;
Kafka's default is 300 s) and whose cleaner sleeps for {CLEANER_BACKOFF_MS // 1000} s at most (`log.cleaner.backoff.ms`;
that is the default), as `lamppost doctor` and `lamppost topics check` require:
"""
_TOPICS_END = """[Deletion](deletion.md) says how that comes about, and how it is measured in the brokers' files.
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs"))
