"""Functions that numba compiles, and keeps between runs for as long as no source that they may call changes.

numba looks at the file of a function alone, but what is compiled into the function, or called by it, often lies in
another: after an upgrade in place it would go on with what that was before. So the kept ones carry a stamp of all
sources of their package and of this file. (In a zip archive numba's own rule holds.)
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, Final, TypeVar, cast

from numba import config, njit
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

Function = TypeVar("Function", bound=Callable[..., Any])

LOCATORS: Final = "CACHE_LOCATOR_CLASSES"
"""numba's name for where it keeps functions; it reads it from the environment."""

_LOCK: Final = RLock()
"""For the setting of numba, which is of the whole process; modules may be imported by several threads."""

inlined: Final = njit(inline="always")
"""Compiles a function into those that call it: a call would copy all numbers of a long NamedTuple each time.

Painting a head takes less than half of the time so (and compiling no longer); the results are the same to the last bit.
"""


def compiled(*, nogil: bool = False) -> Callable[[Function], Function]:
    """Return the decorator that compiles a function at its first call, or takes what a run before has compiled.

    It may call functions of its own package and of numba. With `nogil` other threads of Python run meanwhile.
    """

    def decorate(function: Function) -> Function:
        with _LOCK:
            before = getattr(config, LOCATORS)
            setattr(config, LOCATORS, before or _OWN)  # numba reads it when it is told to keep a function
            try:
                return cast(Function, njit(cache=True, nogil=nogil)(function))
            finally:
                setattr(config, LOCATORS, before)

    return decorate


@cache
def _stamp(folder: Path) -> str:
    """Return what tells the sources of a folder, and the options in this file, from those of another version."""
    digest = hashlib.sha256()
    for source in (Path(__file__), *sorted(folder.glob("*.py"))):
        if source.is_file() and not source.name.startswith("."):  # editors leave locks and scratch files
            digest.update(source.name.encode() + hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


class _Stamped:
    """A place for kept functions, whose names hold a stamp of all sources in the folder of the function's.

    Names, so that a process that is killed between two files leaves none of one version under the stamp of another.
    """

    _py_file: str
    _lineno: int

    def get_source_stamp(self) -> str:
        """Return what has to be the same for a kept function to be taken."""
        return _stamp(Path(self._py_file).parent)

    def get_disambiguator(self) -> str:
        """Return the part of a file's name that tells functions, and versions of them, apart."""
        return f"{self._lineno}-{self.get_source_stamp()[:12]}"


class Given(_Stamped, UserProvidedCacheLocator):
    """The folder of NUMBA_CACHE_DIR."""


class Beside(_Stamped, InTreeCacheLocator):
    """`__pycache__`, where it can be written."""


class Users(_Stamped, UserWideCacheLocator):
    """The user's cache."""


_OWN: Final = ",".join([*(f"{__name__}.{each.__name__}" for each in (Given, Beside, Users)), "ZipCacheLocator"])
