"""Where settings come from: option before environment before file before default, with the origin of each value."""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from pipeline.errors import SettingsError
from pipeline.runtime.settings import ENVIRONMENT_PREFIX, NESTED_DELIMITER, Settings
from pipeline.runtime.settings_kafka import CA_PROBE

FILE_VARIABLE: Final = "LAMPPOST_SETTINGS"
DEFAULT: Final = "default"
ALIKE: Final = 0.6
"""Similarity from which one name is taken for another misspelt."""
COMPLAINTS: Final = 3
"""Wrong settings that one line names."""
_SERVICE_LINK = re.compile(r"^LAMPPOST(_.+)?_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)$")
"""Variables that Kubernetes sets in every pod beside a service whose name begins with lamppost."""


class Option(NamedTuple):
    """One value of the command line: the option as the user wrote it, the dotted field it sets, and the value."""

    flag: str
    field: str
    value: object


class Row(NamedTuple):
    """One resolved setting as it is shown: a secret's value is not."""

    field: str
    value: str
    origin: str


class Resolved(NamedTuple):
    """Settings together with the origin of every field that is not at its default, by dotted name."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> list[Row]:
        """Every setting in the order of its declaration."""
        return [Row(field, _shown(value), self.origins.get(field, DEFAULT)) for field, value in _leaves(self.settings)]


class _Layer(NamedTuple):
    values: dict[str, Any]
    """Dotted field to raw value."""
    origins: dict[str, str]
    """Dotted field to the words that name where the value stands."""


def resolve(options: tuple[Option, ...] = (), file: Path | None = None) -> Resolved:
    """Bring options, environment, one TOML file and defaults together.

    `file` defaults to the one that LAMPPOST_SETTINGS names. An option whose value is None was not given. Raises
    SettingsError with one line naming field, value, origin and fix.
    """
    named = os.environ.get(FILE_VARIABLE)
    path = file if file is not None else Path(named) if named else None
    layers = ([] if path is None else [_from_file(path)]) + [_from_environment(), _from_options(options)]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        values |= layer.values
        origins |= layer.origins
    try:
        settings = Settings.model_validate(_nested(values))
    except ValidationError as error:
        raise SettingsError(_sentence(error, values, origins)) from error
    _require_files(settings, origins)
    return Resolved(settings, origins)


def known_fields() -> list[str]:
    """Dotted names of all settings."""
    return [name for name, _ in _leaves(Settings())]


def _from_file(path: Path) -> _Layer:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(
            f"settings file {path} does not exist; name one with --settings or {FILE_VARIABLE}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"settings file {path} is not valid TOML: {error}") from error
    fields = known_fields()
    values = dict(_flat(tree, fields))
    for field in values:
        if field not in fields:
            if _is_section(field, fields):
                raise SettingsError(f"{field} (file {path}) is a group of settings; write [{field}] and its fields")
            raise SettingsError(f"unknown setting {field} (file {path}); {_nearest(field, fields)}")
    _require_truth_values(values, path)
    return _Layer(values, dict.fromkeys(values, f"file {path}"))


def _from_environment() -> _Layer:
    fields = known_fields()
    variables: dict[str, str] = {}
    for name in sorted(os.environ):
        if not name.upper().startswith(ENVIRONMENT_PREFIX) or name == FILE_VARIABLE:
            continue
        if NESTED_DELIMITER not in name and _SERVICE_LINK.match(name):
            continue
        field = name.lower().removeprefix(ENVIRONMENT_PREFIX.lower()).replace(NESTED_DELIMITER, ".")
        if field not in fields:
            raise SettingsError(
                f"unknown setting in environment variable {name}; {_nearest(field, fields, variable_of)}"
            )
        variables[field] = name
    try:
        tree = EnvSettingsSource(Settings)()
    except UnreadableVariable as error:
        said = ", ".join(name for field, name in variables.items() if _is_object(field))
        raise SettingsError(f'environment variable {said} must hold a JSON object such as {{"a": "b"}}') from error
    values = dict(_flat(tree, fields))
    return _Layer(values, {field: f"environment {variables[field]}" for field in values})


def _from_options(options: tuple[Option, ...]) -> _Layer:
    given = [option for option in options if option.value is not None]
    return _Layer(
        {option.field: option.value for option in given}, {option.field: f"option {option.flag}" for option in given}
    )


def description(field: str) -> str:
    """What a dotted field is, in the words of its declaration."""
    model: type[BaseModel] = Settings
    said = ""
    for part in field.split("."):
        info = model.model_fields[part]
        said = info.description or ""
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            model = info.annotation
            said = (model.__doc__ or "").partition("\n")[0]
    return said


def variable_of(field: str) -> str:
    """The environment variable that sets a dotted field."""
    return ENVIRONMENT_PREFIX + field.upper().replace(".", NESTED_DELIMITER)


def _is_object(field: str) -> bool:
    return field.endswith(".properties")


def _is_section(field: str, fields: list[str]) -> bool:
    return any(known.startswith(field + ".") for known in fields)


def _nearest(field: str, fields: list[str], written: Callable[[str], str] = str) -> str:
    """The known field that was meant, as it is `written`: of the same last word, else one that is alike."""
    same = [known for known in fields if known.rpartition(".")[2] == field.rpartition(".")[2]]
    near = difflib.get_close_matches(field, same or fields, n=1, cutoff=0.0 if same else ALIKE)
    return f"nearest known: {written(near[0])}" if near else "`lamppost settings` lists those there are"


def _require_truth_values(values: Mapping[str, Any], path: Path) -> None:
    """TOML has a type for true and false, so a file has to use it for settings of that kind and for no other.

    Variables are text, for which pydantic's many spellings are right; from a file it would take ``fps = true`` as 1.
    """
    for field, default in _leaves(Settings()):
        if field in values and isinstance(default, bool) is not isinstance(values[field], bool):
            wanted = "should be true or false" if isinstance(default, bool) else "should not be true or false"
            shown = _shown_raw(field, values[field])
            raise SettingsError(f"{field}={shown} (file {path}): {wanted}; it is: {description(field).rstrip('.')}")


def _require_files(settings: Settings, origins: Mapping[str, str]) -> None:
    """Name a file of the connection that is missing now, and not when the first client is made."""
    said = settings.kafka.security
    authorities = None if said.ca_file == CA_PROBE else said.ca_file
    for name, path in (
        ("ca_file", authorities),
        ("password_file", said.password_file),
        ("certificate_file", said.certificate_file),
        ("key_file", said.key_file),
    ):
        if path is not None and not path.exists():
            field = f"kafka.security.{name}"
            raise SettingsError(f"{field}={path} ({origins.get(field, DEFAULT)}): there is no such file")


def _flat(tree: Mapping[str, Any], fields: list[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; stops at a known field, whose value may be a table itself."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in fields and value:
            yield from _flat(value, fields, f"{name}.")
        elif not (isinstance(value, Mapping) and _is_section(name, fields)):
            yield name, value


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for field, value in values.items():
        *sections, name = field.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = value
    return tree


def _leaves(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(secret)"
    if isinstance(value, dict):
        return ", ".join(f"{name}=(secret)" for name in value) or "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _sentence(error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """The first complaints in one line, and how many more there are."""
    every = [_complaint(each, values, origins) for each in error.errors(include_url=False)]
    more = f" (and {len(every) - COMPLAINTS} more)" if len(every) > COMPLAINTS else ""
    return "; also ".join(every[:COMPLAINTS]) + more


def _complaint(first: ErrorDetails, values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    field = ".".join(str(part) for part in first["loc"])
    at = field
    while at and at not in origins:
        at = at.rpartition(".")[0]
    if at:
        return f"{at}={_shown_raw(at, values[at])} ({origins[at]}): {_reason(first, at)}"
    reason = _reason(first, field)
    if not field:  # several sections do not fit together, and the reason names their fields in full
        inside = [name for name in origins if name in reason]
    else:
        inside = [name for name in origins if name.startswith(field + ".")]
    told = f" ({', '.join(f'{name} from {origins[name]}' for name in inside)})" if inside else ""
    return (f"{field}: {reason}" if field else reason) + told


def _reason(first: ErrorDetails, field: str) -> str:
    """Our own validators name the fix; to pydantic's words we add what the setting is."""
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":  # the description says the form in words
        return f"is not of that form; it is: {description(field).rstrip('.')}"
    return f"{re.sub('^(Input|String) should', 'should', first['msg'])}; it is: {description(field).rstrip('.')}"


_SECRETS: Final = ("password", "key_password", "properties")


def _shown_raw(field: str, value: object) -> str:
    return "(secret)" if field.rpartition(".")[2] in _SECRETS else _as_written(value)


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)
