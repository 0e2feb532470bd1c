"""An embedder that knows the people of `pipeline.testing.pictures`."""

import numpy as np
from numpy.typing import NDArray

from pipeline.testing.pictures import identity_of


class FakeEmbedder:
    """Implements `pipeline.ports.Embedder`: the same person always has the same template."""

    def __init__(self, dimension: int = 128) -> None:
        self._dimension = dimension

    @property
    def dimension(self) -> int:
        """See the port."""
        return self._dimension

    @property
    def version(self) -> str:
        """See the port."""
        return "fake-1"

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the port; crops may be of any size."""
        if len(crops) == 0:
            return np.empty((0, self._dimension), np.float32)
        return np.stack([self.template(identity_of(crop)) for crop in crops])

    def template(self, identity: int) -> NDArray[np.float32]:
        """float32[d], L2-normalised: what every crop of that person embeds to."""
        vector = np.random.default_rng(identity).standard_normal(self._dimension)
        return (vector / np.linalg.norm(vector)).astype(np.float32)
