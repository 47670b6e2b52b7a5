"""Sections as an instrument would drop them: each with counts and places of its own."""

from pathlib import Path

import pandas as pd

import whole_folders


def section(folder: Path, number: int, *, shift: float | None = None) -> Path:
    """A Visium section of its own: counts and places differ by `number`; returns its ``outs``."""
    outs = Path(whole_folders.visium(folder, matrix=whole_folders.counts(number))["path"])
    positions = outs / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(positions)
    table["pxl_col_in_fullres"] += 7 * number if shift is None else shift
    table.to_csv(positions, index=False)
    return outs
