"""What the distribution says of itself, and what the locks hold."""

import re
import tomllib
from importlib.metadata import distribution, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import pipeline

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("cpu", "gpu")
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+?)(?: ;.*)? \\$")


def lock(extra: str) -> str:
    return (ROOT / "requirements" / f"{extra}.lock").read_text(encoding="utf-8")


def names(extra: str) -> set[str]:
    return {match[1].lower() for line in lock(extra).splitlines() if (match := PIN.match(line))}


def test_the_version_is_said_once() -> None:
    """Distribution, package, citation and changelog agree on it."""
    assert distribution("lamppost").version == pipeline.__version__
    assert f"\nversion: {pipeline.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_command_is_installed_with_the_distribution() -> None:
    """`lamppost` reaches the command line."""
    (script,) = entry_points(group="console_scripts", name="lamppost")
    assert callable(script.load())


def test_type_information_is_shipped() -> None:
    """PEP 561: callers' type checkers read our annotations."""
    assert (files("pipeline") / "py.typed").is_file()


def test_neither_faiss_is_in_the_base_and_each_extra_has_its_own() -> None:
    """Both carry the same module."""
    base = " ".join(PROJECT["project"]["dependencies"])
    extras = PROJECT["project"]["optional-dependencies"]
    assert "faiss" not in base
    assert [len([name for name in extras[extra] if name.startswith("faiss-")]) for extra in LOCKS] == [1, 1]
    assert {"faiss-cpu", "faiss-gpu"} & names("cpu") == {"faiss-cpu"}
    assert {"faiss-cpu", "faiss-gpu"} & names("gpu") == {"faiss-gpu"}


@pytest.mark.parametrize("extra", LOCKS)
def test_every_requirement_is_locked_with_hashes(extra: str) -> None:
    """The build backend included, so that an installation fetches nothing that was not checked."""
    declared = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    wanted = {re.split(r"[\[<>=~! ]", requirement)[0].lower() for requirement in declared}
    assert wanted - names(extra) == set()
    pins = [line for line in lock(extra).splitlines() if line and not line.startswith((" ", "#"))]
    assert [line for line in pins if not PIN.match(line)] == []
    blocks = re.split(r"\n(?=[A-Za-z0-9])", lock(extra))[1:]
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("extra", LOCKS)
def test_a_lock_names_no_address(extra: str) -> None:
    """Names, versions and hashes only: where to download from is the installer's own choice."""
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links|file:", lock(extra)) == []


def test_every_lint_ignore_carries_its_reason() -> None:
    """An ignore nobody can explain is never removed."""
    section = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.ruff.lint]")[2]
    ignored = [line for line in section.partition("[tool.mypy]")[0].splitlines() if re.match(r'^\s+"[A-Z]+\d+"', line)]
    assert ignored
    assert [line for line in ignored if "#" not in line] == []
