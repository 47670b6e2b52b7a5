"""The baseline that every network must beat: stain, texture and nuclear measures."""

import numpy as np

from tissuemake.histology.color import FEATURES, color_features
from tissuemake.histology.stains import STANDARD, measure_staining


class ColorEncoder:
    """Stain, texture and nuclear measures (`tissuemake.histology.color`): nothing to train, nothing to load."""

    features = FEATURES

    def __init__(self) -> None:
        self.staining = STANDARD

    def look(self, tiles: np.ndarray) -> None:
        """Measure the slide's staining, to which all features are relative."""
        self.staining = measure_staining(tiles)

    def encode(self, tiles: np.ndarray, mpp: float) -> np.ndarray:
        """See `Encoder`."""
        return np.stack([color_features(tile, mpp, self.staining) for tile in tiles])
