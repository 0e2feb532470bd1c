"""The settings as text: a settings file to edit, and the reference page of the documentation."""

from functools import reduce
from itertools import groupby

from pydantic import SecretStr

from pipeline.runtime.settings import Settings
from pipeline.runtime.settings_sources import Resolved, description, variable_of


def as_settings_file(settings: Settings) -> str:
    """TOML with every setting and what it is; settings that are none or secret are comments."""
    lines: list[str] = []
    for section, rows in groupby(Resolved(settings, {}).rows(), key=lambda row: row.field.rpartition(".")[0]):
        lines += [f"# {description(section)}", f"[{section}]"]
        for row in rows:
            value = reduce(getattr, row.field.split("."), settings)
            lines += [f"# {description(row.field)}", _toml(row.field.rpartition(".")[2], value)]
        lines.append("")
    return "\n".join(lines)


def as_markdown() -> str:
    """The page docs/settings.md."""
    lines = [_PREFACE]
    for section, rows in groupby(Resolved(Settings(), {}).rows(), key=lambda row: row.field.rpartition(".")[0]):
        lines += [
            f"## `{section}`",
            "",
            description(section),
            "",
            "| setting | default | what it is |",
            "|---|---|---|",
        ]
        lines += [f"| `{row.field}` | `{row.value}` | {description(row.field)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _toml(name: str, value: object) -> str:
    match value:
        case bool():
            return f"{name} = {str(value).lower()}"
        case int() | float():
            return f"{name} = {value}"
        case tuple():
            return f"{name} = [{', '.join(quoted(str(part)) for part in value)}]"
        case None | dict() | SecretStr():
            return f"# {name} ="
        case _:
            return f"{name} = {quoted(str(value))}"


def quoted(text: str) -> str:
    """A string of a settings file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_PREFACE = f"""# Settings

Options, environment variables and one TOML file set the same values. An option comes before an environment variable,
that before the file, that before the default. `lamppost settings` shows what holds and where each value came from,
`lamppost settings --toml` prints a file to begin with.

The variable of a setting is its name in capitals, with two underscores for each dot: `kafka.brokers` is
`{variable_of("kafka.brokers")}`. The file is named by `--settings FILE` or `LAMPPOST_SETTINGS`. In the file a setting
stands in the table of its section:

```toml
[cameras]
fps = 4
```

A key that is not in these lists is an error that names the nearest known one. The word `none` takes a value of the
file back where the default is `none`; an empty variable counts as unset. Variables that Kubernetes sets for a service
named lamppost are no settings and are passed over.
"""
