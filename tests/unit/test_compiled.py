"""What numba keeps of compiled functions between runs, and when it compiles them again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from village.caller import area, parts
print(area(3.0), parts(3.0), *(sum(each.stats.cache_hits.values()) for each in (area, parts)))
"""


KILLED = """
import os
from numba.core.caching import IndexDataCacheFile
IndexDataCacheFile._save_data = lambda *_: os._exit(9)
"""
"""Ends the process when it has written what is kept, and not yet the function itself."""


def process(folder: Path, program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A fresh process that finds the package, and nothing of numba's in its environment but this."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env={**inherited, **environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def run(folder: Path, **environment: str) -> list[str]:
    """What a fresh process says: both results, and whether each function was kept from before."""
    done = process(folder, PROGRAM, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two files: one function of the first is called by, and one compiled into, those of the second."""
    village = tmp_path / "village"
    village.mkdir()
    (village / "__init__.py").write_text("")
    (village / "callee.py").write_text(
        "from pipeline.compiled import compiled, inlined\n\n"
        "@compiled()\ndef square(x):\n    return x * x\n\n"
        "@inlined\ndef half(x):\n    return x / 2\n"
    )
    (village / "caller.py").write_text(
        "from pipeline.compiled import compiled\nfrom village.callee import half, square\n\n"
        "@compiled()\ndef area(x):\n    return square(x)\n\n"
        "@compiled(nogil=True)\ndef parts(x):\n    return half(x)\n"
    )
    return tmp_path


def change(package: Path) -> None:
    """Write the second file anew: a cube in the place of a square, a third in that of a half."""
    callee = package / "village" / "callee.py"
    callee.write_text(callee.read_text().replace("x * x", "x * x * x").replace("x / 2", "x / 3"))


@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside the package", "in a folder that is named"])
def test_a_function_is_kept_until_a_source_that_it_calls_changes(package: Path, elsewhere: bool) -> None:
    """Also one of another file, which numba itself does not look at."""
    named = {"NUMBA_CACHE_DIR": str(package / "kept")} if elsewhere else {}
    assert run(package, **named) == ["9.0", "1.5", "0", "0"]
    assert run(package, **named) == ["9.0", "1.5", "1", "1"]
    change(package)
    assert run(package, **named) == ["27.0", "1.0", "0", "0"]
    assert run(package, **named) == ["27.0", "1.0", "1", "1"]
    assert bool(list((package / "village").rglob("*.nbi"))) is not elsewhere


def test_a_process_that_is_killed_while_it_keeps_a_function_leaves_none_of_before(package: Path) -> None:
    """The next one compiles it, though the list of what is kept has it already."""
    run(package)
    change(package)
    assert process(package, KILLED + PROGRAM).returncode == 9
    assert run(package)[:3] == ["27.0", "1.0", "0"]


def test_what_an_editor_leaves_beside_the_sources_is_none(package: Path) -> None:
    """Such as a lock, a link to nowhere."""
    run(package)
    (package / "village" / ".#callee.py").symlink_to("somebody@somewhere")
    (package / "village" / "gone.py").symlink_to("nowhere.py")
    assert run(package) == ["9.0", "1.5", "1", "1"]


def test_places_that_are_named_to_numba_are_left_to_it(package: Path) -> None:
    """Whoever says where functions are kept says when they are compiled again."""
    named = {"NUMBA_CACHE_LOCATOR_CLASSES": "InTreeCacheLocator"}
    run(package, **named)
    change(package)
    assert run(package, **named)[0] == "9.0"
