"""The tiles of a cohort as a training reads them: all in memory at the size it needs, or from their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tissuemake.errors import InputError
from tissuemake.histology.encoders.network import scaled
from tissuemake.histology.tile_store import TileStore

# Of tiles as uint8; beyond it they are decoded when they are drawn.
BYTES_IN_MEMORY = 2 * 1024**3
ROWS_AT_ONCE = 256
# Of fewer donors one is too much to lose for a loss that only watches.
DONORS_TO_HOLD_OUT = 4
MOST_HELD_OUT = 0.1


@dataclass(frozen=True)
class Rows:
    """Usable tiles of a cohort: for each its file (number), its row there, and whether it is held out."""

    slide: np.ndarray
    row: np.ndarray
    held_out: np.ndarray
    by_donor: str  # the donor that is held out; "" where tiles are


class CohortTiles:
    """Pictures of some rows of the tile files; may be used after a fork.

    Parameters
    ----------
    keep
        Whether all are decoded now and kept, uint8 (n, 3, edge, edge); they move to the device that asks.
    """

    def __init__(
        self, paths: Sequence[Path], slide: np.ndarray, row: np.ndarray, edge: int, keep: bool
    ) -> None:
        self.slide, self.row, self.edge = slide, row, edge
        self._stores = [TileStore(path) for path in paths]
        self._kept: Tensor | None = None
        if keep:
            kept = torch.empty(len(row), 3, edge, edge, dtype=torch.uint8)
            for start in range(0, len(row), ROWS_AT_ONCE):
                part = slice(start, start + ROWS_AT_ONCE)
                kept[part] = self._decode(slide[part], row[part])
            self._kept = kept

    def __len__(self) -> int:
        return len(self.row)

    @property
    def in_memory(self) -> bool:
        """Whether all are decoded."""
        return self._kept is not None

    def __call__(self, positions: Tensor) -> Tensor:
        """Return uint8 (n, 3, edge, edge) of the tiles at `positions`, on their device."""
        if self._kept is None:
            chosen = positions.cpu().numpy()
            return self._decode(self.slide[chosen], self.row[chosen]).to(positions.device)
        if self._kept.device != positions.device:
            self._kept = self._kept.to(positions.device)
        return self._kept[positions]

    def _decode(self, slide: np.ndarray, row: np.ndarray) -> Tensor:
        pictures = torch.empty(len(row), 3, self.edge, self.edge, dtype=torch.uint8)
        for number in np.unique(slide):
            here = np.flatnonzero(slide == number)
            pixels = torch.from_numpy(self._stores[number].pixels(row[here])).permute(0, 3, 1, 2)
            pictures[torch.from_numpy(here)] = scaled(pixels.float(), self.edge).round().to(torch.uint8)
        return pictures


def choose_rows(
    paths: Sequence[Path], donors: Sequence[str] | None, most_held_out: int, least: int, seed: int
) -> Rows:
    """Choose the tiles to learn from (spot and grid tiles that are tissue, sharp and without pen) and to score.

    With at least four donors one of them, drawn, is scored; with fewer, or none named, some tiles of all.

    Raises
    ------
    InputError
        ``no_cohort`` without files, ``too_few_tiles`` when fewer than `least` are left to learn from.
    """
    if not paths:
        raise InputError(
            "no_cohort",
            "There is no sample to pretrain spafoundation on.",
            "Mark samples with an image by pretrain: true in the sample sheet, or give models: spafoundation: weights.",
        )
    usable = [_usable(path) for path in paths]
    slide = np.repeat(np.arange(len(paths)), [len(rows) for rows in usable])
    row = np.concatenate(usable)
    rng = np.random.default_rng(seed)
    named = sorted(set(donors or ()))
    if len(named) >= DONORS_TO_HOLD_OUT:
        donor = str(rng.choice(named))
        theirs = np.array([name == donor for name in donors])[slide]
    else:
        donor, theirs = "", np.ones(len(row), bool)
    count = min(most_held_out, int(MOST_HELD_OUT * len(row)), int(theirs.sum()))
    held_out = np.zeros(len(row), bool)
    held_out[rng.choice(np.flatnonzero(theirs), count, replace=False)] = True
    kept = held_out if donor else np.ones(len(row), bool)
    kept = kept | ~theirs  # the rest of a held-out donor is neither learnt from nor scored
    rows = Rows(slide[kept], row[kept], held_out[kept], donor)
    learnt = int((~rows.held_out).sum())
    if learnt < least or count < 2:
        counts = ", ".join(
            f"{path.parent.name} {len(part)}" for path, part in zip(paths, usable, strict=True)
        )
        raise InputError(
            "too_few_tiles",
            f"{learnt} tiles are left to pretrain spafoundation on; it takes at least {least}. Usable tiles: {counts}.",
            "Tile on a grid and with overlap (config: tiles: grid: true, overlap: 0.5), add slides, or give "
            "models: spafoundation: weights.",
        )
    return rows


def _usable(path: Path) -> np.ndarray:
    """Rows of tiles that show sharp tissue."""
    with TileStore(path) as store:
        return np.flatnonzero(store.table["usable"].to_numpy(bool))


def colour_statistics(tiles: CohortTiles, seed: int, most: int = 2048) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (3,) of the pixels of at most `most` tiles, in 0 to 1."""
    rows = np.random.default_rng(seed).permutation(len(tiles))[:most]
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        pixels = tiles(torch.from_numpy(rows[start : start + ROWS_AT_ONCE])).double() / 255
        total += pixels.sum((0, 2, 3))
        squares += pixels.square().sum((0, 2, 3))
        count += pixels[:, 0].numel()
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp_min(1e-6).sqrt().float()
