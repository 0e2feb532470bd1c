"""The tree keeps the order that pyproject.toml states: bands of imports, and modules that a reader can take in."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 300
PACKAGES = ("pipeline", "loadtest")


def modules() -> Iterator[Path]:
    """The source files of the packages under test, wherever they are installed."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from sorted(Path(folder).rglob("*.py"))


def name(module: Path) -> str:
    """A module's path from its package on, for the test's id."""
    return "/".join(module.parts[-3:])


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """Each band imports itself and those before it, and facts, decisions and ports know no engine."""
    status = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None, no_cache=True)
    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_the_tree_is_found() -> None:
    """The checks below would pass on an empty list."""
    found = {module.parent.name for module in modules()}
    assert {"pipeline", "core", "wire", "catalog"} <= found


@pytest.mark.parametrize("module", list(modules()), ids=name)
def test_module_is_short_and_says_what_it_is(module: Path) -> None:
    """At most 300 lines, and a docstring."""
    source = module.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST, "look for the second noun in it"
    assert ast.get_docstring(ast.parse(source)), "has no docstring"
