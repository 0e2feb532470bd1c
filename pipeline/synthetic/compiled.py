"""How numba compiles what is called at every texel and vertex."""

from typing import Final

from numba import njit

inlined: Final = njit(inline="always")
"""Compiles a function into those that call it: a call would copy the some sixty numbers of a Shape each time.

Painting a head takes less than half of the time so (and compiling no longer); the results are the same to the last bit.
"""
