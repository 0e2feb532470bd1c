"""What the groups of settings have in common: frozen, documented, unknown keys refused."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode


def _split_commas(value: object) -> object:
    """One string of an option or of the environment holds several values with commas between them."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
"""Up to a day: clocks count nanoseconds in 64 bits, and waits of the operating system end somewhere, too."""
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A frozen group of settings; a field whose default is None takes the word ``none`` from any source."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read_none(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: _none_if_said(cls.model_fields.get(name), value) for name, value in values.items()}


def _none_if_said(field: FieldInfo | None, value: object) -> object:
    is_word = isinstance(value, str) and value.strip().lower() == "none"
    return None if is_word and field is not None and field.default is None else value
