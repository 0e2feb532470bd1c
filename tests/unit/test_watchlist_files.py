"""Files of watchlist entries: what is read, and what each mistake says."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError, WatchlistError
from pipeline.runtime.watchlist_files import parse_expiry, read_entries, read_template

D = 4
TEMPLATES = np.eye(3, D, dtype=np.float32)


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_three_formats_give_the_same_entries(tmp_path: Path) -> None:
    """Ids and templates in the file's order, in the list that was asked for."""
    ids = ["a", "b", "c"]
    np.savez(tmp_path / "w.npz", ids=np.array(ids), templates=TEMPLATES)
    jsonl(
        tmp_path / "w.jsonl",
        *({"entry": i, "template": t.tolist()} for i, t in zip(ids, TEMPLATES, strict=True)),
    )
    lines = [",".join([i, *map(str, t)]) for i, t in zip(ids, TEMPLATES, strict=True)]
    (tmp_path / "w.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("w.npz", "w.jsonl", "w.csv"):
        entries = read_entries(tmp_path / name, D, "missing")
        assert [entry.entry for entry in entries] == ids
        assert {entry.list_id for entry in entries} == {"missing"}
        assert all(entry.template.dtype == np.float32 for entry in entries)
        np.testing.assert_array_equal(np.stack([entry.template for entry in entries]), TEMPLATES)


def test_reference_list_and_expiry_are_read(tmp_path: Path) -> None:
    """Expiry is in nanoseconds since the epoch, whatever its time zone."""
    row = {"entry": "a", "template": TEMPLATES[0].tolist(), "reference": "case/9", "list_id": "own"}
    (entry,) = read_entries(jsonl(tmp_path / "w.jsonl", row | {"expires": "1970-01-01T01:00:01+01:00"}), D, "default")
    assert (entry.reference, entry.list_id, entry.expires_ns) == ("case/9", "own", 1_000_000_000)
    np.savez(
        tmp_path / "w.npz", ids=np.array(["a", "b"]), templates=TEMPLATES[:2],
        references=np.array(["r", ""]), expires=np.array(["1970-01-01T00:00:02Z", ""]),
    )  # fmt: skip
    entries = read_entries(tmp_path / "w.npz", D, "default")
    assert [(entry.reference, entry.expires_ns) for entry in entries] == [("r", 2_000_000_000), ("", None)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"entry": "a", "template": [1, 0, 0]}], ["row 1", "'a'", "3 components", "4"]),
        (
            [{"entry": "a", "template": [1, 0, 0, 0]}, {"entry": "b", "template": [1, 1, 0, 0]}],
            ["row 2", "'b'", "1.414"],
        ),
        ([{"entry": "a", "template": [1, 0, 0, 1e300]}], ["row 1", "'a'", "not finite"]),
        ([{"entry": "a", "template": [1, 0, 0, 0]}] * 2, ["row 2", "'a'", "already in row 1"]),
        ([{"entry": "", "template": [1, 0, 0, 0]}], ["row 1", "id"]),
        ([{"entry": "a"}], ["row 1", "template"]),
        ([{"entry": "a", "template": [1, 0, 0, 0], "note": "x"}], ["row 1", "note"]),
        ([{"entry": "a", "template": "1,0,0,0"}], ["row 1", "array"]),
    ],
)
def test_a_wrong_row_is_named_with_its_entry(rows: list[object], said: list[str], tmp_path: Path) -> None:
    """The whole file is refused, so nothing of it is published."""
    with pytest.raises(WatchlistError) as refused:
        read_entries(jsonl(tmp_path / "w.jsonl", *rows), D, "default")
    assert [word for word in said if word not in str(refused.value)] == []


def test_a_cell_that_is_no_number_is_named_with_its_column(tmp_path: Path) -> None:
    """CSV has no types, so a heading or a decimal comma shows here."""
    (tmp_path / "w.csv").write_text("a,1,0,0,0\nb,0,one,0,0\n", encoding="utf-8")
    with pytest.raises(WatchlistError, match=r"row 2, entry 'b': column 3 is 'one'"):
        read_entries(tmp_path / "w.csv", D, "default")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"ids": np.array(["a"])}, "lacks the array 'templates'"),
        ({"ids": np.array(["a"]), "templates": TEMPLATES}, r"'ids' is <U1\[1\], not strings \[3\]"),
        ({"ids": np.arange(3), "templates": TEMPLATES}, "'ids' is int64"),
        ({"ids": np.array(list("abc")), "templates": TEMPLATES[0]}, "'templates' is float32"),
        (
            {"ids": np.array(list("abc")), "templates": TEMPLATES, "names": np.array(list("abc"))},
            "unknown array 'names'",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(arrays: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    """A .npz file is refused before any entry of it is made."""
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(InputError, match=said):
        read_entries(tmp_path / "w.npz", D, "default")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.npz", None, "cannot be read: No such file"),
        ("w.xlsx", b"", r"ending must be one of \.npz, \.jsonl, \.csv"),
        ("w.npz", b"PK\x03\x04 no archive", r"no \.npz file"),
        ("w.npz", b"", r"no \.npz file"),
        ("w.npz", b"garbage", r"no \.npz file"),
        ("w.jsonl", b"", "holds no entry"),
        ("w.csv", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_one_clear_error(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    """The message begins with the path."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        read_entries(tmp_path / name, D, "default")
    assert str(refused.value).startswith(str(tmp_path / name))


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    """A pickle runs code when it is read."""
    np.savez(tmp_path / "w.npz", ids=np.array(["a", 1], dtype=object), templates=TEMPLATES)
    with pytest.raises(InputError, match="plain arrays"):
        read_entries(tmp_path / "w.npz", D, "default")


@pytest.mark.parametrize("text", ["tomorrow", "2026-12-31T18:00:00"])
def test_an_expiry_without_a_meaning_is_refused(text: str) -> None:
    """A time without a zone means another instant on another machine."""
    with pytest.raises(InputError, match=r"--expires: .*\+00:00"):
        parse_expiry(text, "--expires")


def test_a_template_is_read_from_one_array(tmp_path: Path) -> None:
    """Of any floating-point type; anything else is refused."""
    np.save(tmp_path / "t.npy", np.array([1.0, 0.0]))
    assert read_template(tmp_path / "t.npy").dtype == np.float32
    np.save(tmp_path / "t.npy", TEMPLATES)
    with pytest.raises(InputError, match=r"shape \[d\]"):
        read_template(tmp_path / "t.npy")
    with pytest.raises(InputError, match="No such file"):
        read_template(tmp_path / "none.npy")


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_garbage_gives_no_advice_to_allow_pickles(ending: str, tmp_path: Path) -> None:
    """numpy's message names a switch that would run whatever the file says."""
    path = tmp_path / f"w.{ending}"
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42 a video")
    with pytest.raises(InputError, match=rf"no \.{ending} file of plain arrays") as refused:
        read_template(path) if ending == "npy" else read_entries(path, D, "default")
    assert "pickle" not in str(refused.value)


def test_a_single_array_under_the_name_of_several_is_told(tmp_path: Path) -> None:
    """numpy tells the formats apart by their content, whatever their names say."""
    np.save(tmp_path / "w.npy", TEMPLATES)
    (tmp_path / "w.npy").rename(tmp_path / "w.npz")
    with pytest.raises(InputError, match="holds a single array"):
        read_entries(tmp_path / "w.npz", D, "default")
