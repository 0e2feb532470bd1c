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


def run(folder: Path, **environment: str) -> list[str]:
    """What a fresh process says: both results, and whether each function was kept from before."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
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


@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside the package", "in a folder that is named"])
def test_a_function_is_kept_until_a_source_that_it_calls_changes(package: Path, elsewhere: bool) -> None:
    """Also one of another file, which numba itself does not look at."""
    named = {"NUMBA_CACHE_DIR": str(package / "kept")} if elsewhere else {}
    assert run(package, **named) == ["9.0", "1.5", "0", "0"]
    assert run(package, **named) == ["9.0", "1.5", "1", "1"]
    callee = package / "village" / "callee.py"
    callee.write_text(callee.read_text().replace("x * x", "x * x * x").replace("x / 2", "x / 3"))
    assert run(package, **named) == ["27.0", "1.0", "0", "0"]
    assert run(package, **named) == ["27.0", "1.0", "1", "1"]
    assert bool(list((package / "village").rglob("*.nbi"))) is not elsewhere


def test_places_that_are_named_to_numba_are_left_to_it(package: Path) -> None:
    """Whoever says where functions are kept says when they are compiled again."""
    named = {"NUMBA_CACHE_LOCATOR_CLASSES": "InTreeCacheLocator"}
    run(package, **named)
    callee = package / "village" / "callee.py"
    callee.write_text(callee.read_text().replace("x * x", "x * x * x"))
    assert run(package, **named)[0] == "9.0"
