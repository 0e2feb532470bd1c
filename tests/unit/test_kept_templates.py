"""Templates in the user's cache: read as they were written, or made anew."""

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.runtime import kept_templates

TEMPLATES = np.arange(12, dtype=np.float32).reshape(3, 4)


def saved(array: NDArray[np.generic]) -> bytes:
    """A file of an array."""
    out = BytesIO()
    np.save(out, array)
    return out.getvalue()


def archive() -> bytes:
    """A file of arrays by name."""
    out = BytesIO()
    with ZipFile(out, "w") as file:
        file.writestr("a.npy", saved(TEMPLATES))
    return out.getvalue()


WHOLE = saved(TEMPLATES)


@pytest.mark.parametrize("width", [None, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_kept_is_read(width: int | None, order: str, tmp_path: Path) -> None:
    """Whether the width is known or not, and however it lay in memory."""
    file = tmp_path / "deep" / "a.npy"
    kept_templates.keep(file, np.asarray(TEMPLATES, order=order))  # type: ignore[call-overload]  # C or F
    found = kept_templates.read(file, 3, width)
    assert found is not None and found.dtype == np.float32
    np.testing.assert_array_equal(found, TEMPLATES)
    assert [each.name for each in file.parent.iterdir()] == ["a.npy"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        WHOLE[:50],
        WHOLE[:-1],
        WHOLE + b"0",
        WHOLE[:10] + b"{'descr': (" + WHOLE[21:],
        WHOLE[:20] + b"\x00\xff" + WHOLE[22:],
        b"PK\x03\x04" + WHOLE[4:],
        archive(),
        saved(TEMPLATES.astype(np.float64)),
        saved(TEMPLATES.view(np.int32)),
        saved(TEMPLATES[:2]),
        saved(TEMPLATES.ravel()),
        saved(TEMPLATES.reshape(3, 2, 2)),
        saved(np.empty((3, 0), np.float32)),
    ],
)
def test_anything_else_counts_as_absent(content: bytes, tmp_path: Path) -> None:
    """Cut off, damaged, another number or type: none is an error, for the templates can be made."""
    file = tmp_path / "a.npy"
    file.write_bytes(content)
    assert kept_templates.read(file, 3) is None


def test_another_width_counts_as_absent_where_it_is_known(tmp_path: Path) -> None:
    """Templates of another network are no gallery of this one."""
    kept_templates.keep(tmp_path / "a.npy", TEMPLATES)
    assert kept_templates.read(tmp_path / "a.npy", 3, 5) is None
    assert kept_templates.read(tmp_path, 3) is None
