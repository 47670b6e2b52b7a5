"""Simulated sections with counts, composition and tile embeddings: other donors and tissues to train and to test.

All sections of a cohort share one biology and one platform; each has a donor, a plan of zones and a staining of
its own. What costs time (painting the slide) is kept in a folder, by a name that holds every parameter.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from PIL import Image

from benchmarks.fingerprint import of_code
from tissuemake import histology, simulate
from tissuemake.files import atomic
from tissuemake.histology.encoders import LOOKED_AT, ColorEncoder
from tissuemake.simulate import cell_types
from tissuemake.simulate.atlas import simulate_atlas
from tissuemake.simulate.expression import build_biology, donor_effect, draw_molecules, programme_states
from tissuemake.simulate.spot_capture import capture_under
from tissuemake.simulate.staining import render
from tissuemake.simulate.tissue import place_cells, simulate_section, stream
from tissuemake.simulate.visium import MEAN_UMI, SPOT_UM, spot_lattice

SIMULATOR = Path(simulate.__file__).parent
ENCODER = [Path(histology.__file__).with_name(name) for name in ("color.py", "stains.py")]
MPP = 0.5
TILE_PX = 224
TYPES = np.array(cell_types.NAMES)
PLANS = ("glandular", "layered", "infiltrated")


@dataclass(frozen=True)
class Section:
    """What was measured of the spots of one section that lie on tissue and on at least one cell.

    Parameters
    ----------
    name, donor
        Sections of equal donor share a person.
    counts
        (spots, genes) float32 CSR, as captured.
    composition
        (spots, types) share of the cells under each spot, in the order of `TYPES`.
    embedding
        (spots, features) float32 of the tile around each spot.
    genes
        (genes,) symbols.
    """

    name: str
    donor: str
    counts: sp.csr_matrix
    composition: np.ndarray
    embedding: np.ndarray
    genes: np.ndarray


@dataclass(frozen=True)
class World:
    """What all sections of a cohort have in common: biology and platform follow from `seed`."""

    seed: int = 0
    n_genes: int = 1200
    gene_shift: float = 0.6
    spots: int = 300

    @property
    def name(self) -> str:
        """Name that holds every parameter."""
        return f"world{self.seed}-{self.n_genes}-{self.gene_shift}-{self.spots}"


def atlas_of(world: World, folder: Path, cells: int = 1500) -> ad.AnnData:
    """The annotated atlas of a world, raw counts, indexed by symbol; kept in `folder`."""
    path = folder / f"{world.name}-atlas{cells}-{of_code(SIMULATOR)}.h5ad"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        atlas = simulate_atlas(build_biology(world.seed, world.n_genes), world.seed, cells, world.gene_shift)
        atlas.write_h5ad(path)
    atlas = ad.read_h5ad(path)
    atlas.var_names = atlas.var["feature_name"].astype(str).to_numpy()
    return atlas


def section_of(world: World, folder: Path, *, donor: str, zones: str, seed: int) -> Section:
    """One section of `donor`; what `seed` draws (outline, cells, staining) no other section has."""
    name = f"{world.name}-{donor}-{zones}-{seed}"
    seen = folder / f"{name}-{of_code(SIMULATOR)}.npz"
    embedded = folder / f"{name}-{of_code(SIMULATOR)}-color-{of_code(*ENCODER)}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    if not seen.exists():
        with atomic(seen) as partial:
            np.savez(partial, **_simulate(world, donor, zones, seed))
    with np.load(seen) as kept:
        if not embedded.exists():
            with atomic(embedded) as partial:
                np.save(partial, _embed(kept["jpegs"], kept["jpeg_ends"]))
        counts = sp.csr_matrix((kept["data"], kept["indices"], kept["indptr"]), shape=tuple(kept["shape"]))
        genes = build_biology(world.seed, world.n_genes).genes.index.to_numpy(str)
        return Section(name, donor, counts, kept["composition"], np.load(embedded), genes)


def cohort_of(
    world: World, folder: Path, donors: dict[str, int], plans: tuple[str, ...] = PLANS
) -> list[Section]:
    """A section of every plan for every donor, given with the seed of their first section."""
    return [
        section_of(world, folder, donor=donor, zones=zones, seed=first + number)
        for donor, first in donors.items()
        for number, zones in enumerate(plans)
    ]


def thinned(counts: sp.csr_matrix, depth: float | None, rng: np.random.Generator) -> sp.csr_matrix:
    """Keep each molecule with one chance, such that the median spot holds `depth`; None keeps all.

    Depths of the spots stand to each other as before.
    """
    median = float(np.median(np.asarray(counts.sum(axis=1)).ravel()))
    kept = counts.astype(np.float32).copy()
    if depth is not None and depth < median:
        kept.data = rng.binomial(counts.data.astype(np.int64), depth / median).astype(np.float32)
        kept.eliminate_zeros()
    return kept


def _simulate(world: World, donor: str, zones: str, seed: int) -> dict[str, np.ndarray]:
    section = simulate_section(seed, world.spots, zones)
    cells = place_cells(section, seed)
    biology = build_biology(world.seed, world.n_genes)
    molecules = draw_molecules(
        biology,
        cells["cell_type"].to_numpy(),
        programme_states(section, cells, seed),
        donor_effect(world.seed, donor, biology),
        stream(seed, "molecules"),
    )
    # The platform is the world's: its seed gives every gene's efficiency.
    capture = capture_under(
        spot_lattice(section, seed),
        SPOT_UM,
        cells,
        molecules,
        platform="visium",
        mean_umi=MEAN_UMI,
        seed=world.seed,
        gene_shift=world.gene_shift,
    )
    cells_under = capture.composition.to_numpy(float)
    chosen = (capture.spots["in_tissue"].to_numpy() == 1) & (cells_under.sum(axis=1) > 0)
    counts = capture.counts[chosen].astype(np.float32).tocsr()
    return {
        "data": counts.data,
        "indices": counts.indices,
        "indptr": counts.indptr,
        "shape": np.array(counts.shape),
        "composition": cells_under[chosen] / cells_under[chosen].sum(axis=1, keepdims=True),
        **_tiles(render(section, cells, seed, MPP), capture.spots[chosen]),
    }


def _tiles(picture: np.ndarray, spots: pd.DataFrame) -> dict[str, np.ndarray]:
    """The tiles around `spots` as JPEG, one after the other, and where each ends."""
    half = TILE_PX // 2
    padded = np.pad(picture, ((half, half), (half, half), (0, 0)), constant_values=244)
    buffer, ends = io.BytesIO(), []
    for x, y in np.rint(spots[["x", "y"]].to_numpy() / MPP).astype(int):
        tile = Image.fromarray(padded[y : y + TILE_PX, x : x + TILE_PX])
        tile.save(buffer, "JPEG", quality=85, subsampling=0)
        ends.append(buffer.tell())
    return {"jpegs": np.frombuffer(buffer.getvalue(), np.uint8), "jpeg_ends": np.array(ends)}


def _embed(jpegs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Vectors (tiles, features) of tiles as `_tiles` keeps them."""
    tiles = [np.asarray(Image.open(io.BytesIO(part.tobytes()))) for part in np.split(jpegs, ends[:-1])]
    encoder = ColorEncoder()
    encoder.look(np.stack(tiles[:: max(1, len(tiles) // LOOKED_AT)]))
    return encoder.encode(np.stack(tiles), MPP)
