"""Writes the pages of docs/ that follow from code: settings, metrics, and the schemas of results.

``python -m pipeline.runtime.reference [FOLDER]`` writes them; tests hold the committed ones against this module.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.catalog import metrics
from pipeline.runtime.evaluation_results import evaluation_schema
from pipeline.runtime.settings_reference import as_markdown
from pipeline.runtime.summary import summary_schema


def metrics_page() -> str:
    """The page docs/metrics.md, from the catalogue."""
    rows = [
        f"| `{metric.name}{'_total' if metric.kind is metrics.Kind.COUNTER else ''}` | {metric.kind} | "
        f"{', '.join(f'`{label}`' for label in metric.labels) or '–'} | {metric.help} |"
        for metric in metrics.ALL
    ]
    return "\n".join([_METRICS_PREFACE, "| metric | type | labels | what it is |", "|---|---|---|---|", *rows, ""])


def pages() -> Mapping[str, str]:
    """File name in docs/ to text."""
    return {
        "settings.md": as_markdown(),
        "metrics.md": metrics_page(),
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

Units are seconds, bytes and counts. With `metrics.host` 0.0.0.0 each process is listed with the address of its own
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

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs"))
