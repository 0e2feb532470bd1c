"""The tree keeps the order that pyproject.toml states: bands of imports, and modules that a reader can take in."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


LINT = """
import sys
from importlinter import cli
sys.exit(cli.lint_imports(config_filename=sys.argv[1], cache_dir=None, no_cache=True))
"""


def test_import_contracts_hold() -> None:
    """Each band imports itself and those before it, and facts, decisions and ports know no engine.

    In a process of its own: the linter's command switches off every logger that it finds.
    """
    done = subprocess.run(
        [sys.executable, "-c", LINT, str(ROOT / "pyproject.toml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
