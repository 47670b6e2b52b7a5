"""Shell: the embedding of the tile around each spot of a section, and what tells the section and the encoder."""

import logging
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from scipy.spatial import cKDTree

from tissuemake.contracts import EMBEDDINGS, FILTERED, read_anndata, read_annotations
from tissuemake.errors import InputError
from tissuemake.models.held_out import donor_of

log = logging.getLogger(__name__)

# Of a feature's largest value: less is rounding, which standardising would blow up.
LEAST_SPREAD = 1e-3
LARGEST_Z = 6.0


@dataclass(frozen=True)
class SpotVectors:
    """A section as its image shows it.

    Attributes
    ----------
    spots
        obs, ``obsm["spatial"]`` and uns of ``filtered.h5ad``.
    tiles
        All tiles: contract EMBEDDINGS.
    row
        (spots,) row of each spot's tile in `tiles`; -1 where it has none.
    """

    spots: ad.AnnData
    tiles: ad.AnnData
    row: np.ndarray

    @property
    def sample(self) -> str:
        """Name of the sample."""
        return str(self.spots.uns["tissuemake"]["sample"])

    @property
    def donor(self) -> str:
        """Who gave the tissue; a sample without a donor is a donor of its own."""
        return donor_of(self.spots.uns["tissuemake"])

    @property
    def encoder_saw_donor(self) -> bool:
        """Whether the encoder itself was taught by transcripts of this donor: then every head on it has seen them."""
        return self.donor in dict(self.tiles.uns["tissuemake"].get("fine_tuned_on", {})).values()

    @property
    def microns_per_pixel(self) -> float:
        """µm per full-resolution pixel."""
        return float(self.spots.uns["spatial"][self.sample]["scalefactors"]["microns_per_pixel"])

    @property
    def positions(self) -> np.ndarray:
        """Spots (n, 2) in µm."""
        return np.asarray(self.spots.obsm["spatial"], float) * self.microns_per_pixel

    @property
    def seen(self) -> np.ndarray:
        """(spots,) whether there is a tile."""
        return self.row >= 0

    @property
    def encoder(self) -> str:
        """Who made the vectors."""
        return str(self.tiles.uns["tissuemake"]["encoder"])

    @property
    def tile_um(self) -> float:
        """Edge of a tile; 0 without tiles."""
        return float(self.tiles.obs["size_um"].iloc[0]) if self.tiles.n_obs else 0.0

    def vectors(self, spots: np.ndarray) -> np.ndarray:
        """Vectors (spots, features) of the tiles of `spots` (positions or bool); each must have one."""
        return np.asarray(self.tiles.X[self.row[spots]], np.float64)

    def standardised(self, spots: np.ndarray) -> np.ndarray:
        """The same relative to all spots of the section: staining and scanner fall out, and so does its level.

        A feature that hardly moves in the section says nothing there.
        """
        known = self.vectors(self.seen)
        spread = known.std(axis=0)
        moves = spread > LEAST_SPREAD * np.abs(known).max(axis=0) + 1e-12
        relative = (self.vectors(spots) - known.mean(axis=0)) / np.where(moves, spread, 1)
        return np.clip(np.where(moves, relative, 0), -LARGEST_Z, LARGEST_Z)


def read_spot_vectors(filtered: Path, embeddings: Path) -> SpotVectors:
    """Find the tile of every observation: its own; a bin's or cell's is the grid tile whose centre is nearest.

    Raises
    ------
    InputError
        ``unreadable_h5ad``, ``broken_contract``.
    """
    spots = read_annotations(filtered, FILTERED)
    tiles = read_anndata(embeddings, EMBEDDINGS)
    kind = tiles.obs["kind"].astype(str).to_numpy()
    own = np.flatnonzero(kind == "spot")
    found = tiles.obs_names[own].get_indexer(spots.obs_names)
    row = np.where(found >= 0, own[found] if len(own) else -1, -1)
    found = SpotVectors(spots, tiles, row)
    if not len(own) and tiles.n_obs:
        grid = np.flatnonzero(kind == "grid")
        away, nearest = cKDTree(tiles.obs[["x", "y"]].to_numpy(float)[grid]).query(spots.obsm["spatial"])
        within = away * found.microns_per_pixel <= found.tile_um * np.sqrt(0.5)
        found = SpotVectors(spots, tiles, np.where(within, grid[nearest], -1))
    return found


def can_be_held_out(section: SpotVectors) -> bool:
    """Whether a head can be ignorant of the section's donor; if not, the log says why."""
    if section.encoder_saw_donor:
        log.warning(
            "%s is not scored as held out: the encoder '%s' was fine-tuned on transcripts of its donor %s.",
            section.sample,
            section.encoder,
            section.donor,
        )
    return not section.encoder_saw_donor


def refuse_other_encoder(section: SpotVectors, config: dict, model: Path, embeddings: Path) -> None:
    """Raise ``wrong_encoder`` unless `section` was embedded by the encoder of a head's `config`."""
    if section.encoder != config["encoder"] or list(section.tiles.var_names) != config["features"]:
        raise InputError(
            "wrong_encoder",
            f"{model} was fitted on embeddings of '{config['encoder']}' ({len(config['features'])} features), "
            f"{embeddings} holds '{section.encoder}' ({section.tiles.n_vars} features).",
            f"Give the embeddings of '{config['encoder']}', or a head that was fitted on '{section.encoder}'.",
        )
