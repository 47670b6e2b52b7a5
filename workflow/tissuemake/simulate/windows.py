"""The part of the section that a smaller capture area sees."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tissuemake.simulate.tissue import Section


@dataclass(frozen=True)
class Window:
    """A rectangle of the section, µm: its left and top edge, width and height."""

    left: float
    top: float
    width: float
    height: float

    def holds(self, table: pd.DataFrame, border: float = 0.0) -> np.ndarray:
        """Rows of `table` (columns x, y) within the window grown by `border` µm."""
        x, y = table["x"].to_numpy() - self.left, table["y"].to_numpy() - self.top
        return (x >= -border) & (x < self.width + border) & (y >= -border) & (y < self.height + border)


def strip(section: Section, start: float, share: float, step: float) -> Window:
    """A strip from above the tissue downwards, so that it crosses layers; sides are multiples of `step` µm.

    Parameters
    ----------
    start, share
        Left edge and width as parts of the picture's side.
    """
    width = max(round(share * section.size_um / step), 1) * step
    height = round(0.80 * section.size_um / step) * step
    left = round(start * section.size_um / step) * step
    return Window(left, round(0.08 * section.size_um / step) * step, width, height)


def crop(
    picture: np.ndarray, window: Window, mpp: float, border_um: float = 60.0
) -> tuple[np.ndarray, float, float]:
    """Cut the window and a border out of `picture`.

    Returns
    -------
    The part, and the µm position of its left and top edge.
    """
    border = round(border_um / mpp)
    left, top = round(window.left / mpp) - border, round(window.top / mpp) - border
    right = left + round(window.width / mpp) + 2 * border
    bottom = top + round(window.height / mpp) + 2 * border
    left, top = max(left, 0), max(top, 0)
    return np.ascontiguousarray(picture[top:bottom, left:right]), left * mpp, top * mpp
