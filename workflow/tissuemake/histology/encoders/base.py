"""What every tile encoder offers, a network or not."""

from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """What turns tiles into vectors.

    Attributes
    ----------
    features
        Names of the entries of a vector.
    """

    features: tuple[str, ...]

    def look(self, tiles: np.ndarray) -> None:
        """Take in some `tiles` (n, height, width, 3) of a slide before any of it is encoded."""

    def encode(self, tiles: np.ndarray, mpp: float) -> np.ndarray:
        """Return float32 (n, features) of uint8 `tiles` (n, height, width, 3) with `mpp` µm per pixel."""
