"""Scores of pairs of a probe and a row: float64 inner products rounded to float32, which order the candidates."""

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled


@compiled(nogil=True)
def inner_products(
    probes: NDArray[np.float32], rows: NDArray[np.float32], numbers: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores float32[N,m] of probes float32[N,d] and the rows of float32[M,d] that `numbers` int64[N,m] names.

    The terms are exact in float64 and added up in an order that depends on d alone, so that equal templates get equal
    scores in every block, batch, process and machine. A score is -inf where the number is negative.
    """
    dimension = probes.shape[1]
    scores = np.full(numbers.shape, np.float32(-np.inf))
    terms = np.empty(dimension)
    for probe in range(numbers.shape[0]):
        for place in range(numbers.shape[1]):
            number = numbers[probe, place]
            if number >= 0:
                for term in range(dimension):
                    terms[term] = np.float64(probes[probe, term]) * np.float64(rows[number, term])
                # by halves, which vector instructions can do without changing the order
                left = dimension
                while left > 1:
                    half = left // 2
                    for term in range(half):
                        terms[term] += terms[left - half + term]
                    left -= half
                scores[probe, place] = terms[0]
    return scores


def kth_best(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """The `k`-th best float32[N] of each probe's scores or products float32[N,m]; -inf if there are fewer."""
    if scores.shape[1] < k:
        return np.full(len(scores), -np.inf, np.float32)
    kth: NDArray[np.float32] = np.partition(scores, -k, axis=1)[:, -k]
    return kth
