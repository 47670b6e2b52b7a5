"""Expression: what each type transcribes, how it varies over tissue and donors, and how platforms see it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.simulate import cell_types
from tissuemake.simulate.gene_catalogue import MITOCHONDRIAL, PROGRAMMES, RIBOSOMAL, gene_catalogue
from tissuemake.simulate.tissue import Section, stream
from tissuemake.simulate.zones import smooth_noise

MOLECULES_PER_CELL = 3000
HIDDEN_PROGRAMMES = 4
PROGRAMME_NAMES = (*PROGRAMMES, *(f"hidden {i + 1}" for i in range(HIDDEN_PROGRAMMES)))
_CHUNK = 2000  # cells drawn at a time: 2000 x 2500 genes of float64 are 40 MB


@dataclass(frozen=True)
class Biology:
    """What holds in every donor and on every platform.

    Parameters
    ----------
    genes
        Indexed by symbol, column ``gene_id``.
    profiles
        (types, genes) share of a cell's molecules; rows sum to 1.
    loadings
        (programmes, genes) natural-log change per unit of a programme's activity.
    response
        (types, programmes) how strongly a type follows a programme, 0-1.
    dispersion
        (genes,) of the negative binomial: variance = mean + dispersion x mean².
    """

    genes: pd.DataFrame
    profiles: np.ndarray
    loadings: np.ndarray
    response: np.ndarray
    dispersion: np.ndarray


def build_biology(seed: int, n_genes: int) -> Biology:
    """Draw the profiles of all types over the first `n_genes` of the catalogue."""
    genes = gene_catalogue()
    if not 400 <= n_genes <= len(genes):
        raise InputError(
            "bad_n_genes",
            f"n_genes is {n_genes}; the catalogue holds {len(genes)} genes and its markers need 400.",
            f"Give a number from 400 to {len(genes)}.",
        )
    genes = genes.iloc[:n_genes]
    rng = stream(seed, "biology")
    types = len(cell_types.CELL_TYPES)
    level = np.exp(rng.normal(0, 1.4, n_genes))
    change = rng.normal(0, 0.3, (types, n_genes))
    specific = rng.random(n_genes) < 0.25
    change[:, specific] += rng.normal(0, 0.9, (types, int(specific.sum())))
    weights = level * np.exp(change)
    role = genes["role"].to_numpy()
    _set_markers(weights, role, rng)
    for name in (MITOCHONDRIAL, RIBOSOMAL):
        _set_share(weights, np.flatnonzero(role == name), 0.06, rng)
    return Biology(
        genes=genes[["gene_id"]],
        profiles=weights / weights.sum(axis=1, keepdims=True),
        loadings=_loadings(role, rng),
        response=rng.uniform(0.25, 1.0, (types, len(PROGRAMME_NAMES))),
        dispersion=np.exp(rng.normal(np.log(0.25), 0.5, n_genes)),
    )


def _set_markers(weights, role, rng):
    """Markers are strong in their own type, weak in its lineage, nearly silent elsewhere."""
    typical = weights.mean()
    for own, kind in enumerate(cell_types.CELL_TYPES):
        same = np.array([other.major == kind.major for other in cell_types.CELL_TYPES])
        columns = np.flatnonzero(role == kind.name)
        strength = typical * np.exp(rng.normal(np.log(3), 0.8, len(columns)))
        leak = np.where(same, 0.15, 0.05)[:, None] * np.exp(rng.normal(0, 0.7, (len(same), len(columns))))
        weights[:, columns] = strength * np.minimum(leak, 0.5)
        weights[own, columns] = strength


def _set_share(weights, columns, share, rng):
    """Give the genes `columns` the given share of every type's molecules, with a little variation by type."""
    rest = weights.sum(axis=1) - weights[:, columns].sum(axis=1)
    split = rng.dirichlet(np.full(len(columns), 3.0))
    wanted = share * np.exp(rng.normal(0, 0.25, len(weights)))
    weights[:, columns] = (rest * wanted / (1 - wanted))[:, None] * split


def _loadings(role, rng):
    loadings = np.zeros((len(PROGRAMME_NAMES), len(role)))
    for row, name in enumerate(PROGRAMMES):
        columns = np.flatnonzero(role == name)
        loadings[row, columns] = rng.uniform(0.5, 1.0, len(columns))
    hidden = loadings[len(PROGRAMMES) :]
    hidden[:] = rng.normal(0, 0.35, hidden.shape) * (rng.random(hidden.shape) < 0.25)
    return loadings


def programme_states(section: Section, cells: pd.DataFrame, seed: int) -> np.ndarray:
    """Activity (cells, programmes) of every programme: a smooth field, a level per zone, and noise per cell."""
    rng = stream(seed, "programmes")
    states = np.empty((len(cells), len(PROGRAMME_NAMES)))
    for column in range(states.shape[1]):
        field = smooth_noise(section.zone.shape, rng.uniform(25, 60), rng)
        level = rng.normal(0, 0.6, len(section.zones))
        states[:, column] = 0.7 * section.sample(field, cells["x"], cells["y"]) + level[cells["zone"]]
        states[:, column] += rng.normal(0, 0.3, len(cells))
    return np.clip(states, -2.5, 2.5)


def donor_effect(seed: int, donor: str, biology: Biology) -> np.ndarray:
    """Natural-log change (types, genes) that one person has in common over all cells, and per type."""
    rng = stream(seed, f"donor {donor}")
    shape = biology.profiles.shape
    return rng.normal(0, 0.15, shape[1]) + rng.normal(0, 0.1, shape)


def platform_efficiency(seed: int, platform: str, n_genes: int, gene_shift: float) -> np.ndarray:
    """Relative efficiency (genes,) with which a platform captures each gene; log-normal, mean 1."""
    rng = stream(seed, f"platform {platform}")
    return np.exp(rng.normal(-(gene_shift**2) / 2, gene_shift, n_genes))


def draw_molecules(
    biology: Biology,
    kinds: np.ndarray,
    states: np.ndarray,
    donor: np.ndarray,
    rng: np.random.Generator,
    mean_total: float = MOLECULES_PER_CELL,
) -> sp.csr_matrix:
    """Molecules (cells, genes) in each cell: negative binomial around type, programmes, donor and cell size.

    Parameters
    ----------
    kinds
        (cells,) index of each cell's type.
    states
        (cells, programmes).
    donor
        (types, genes) from `donor_effect`.
    """
    rna = np.array([kind.rna for kind in cell_types.CELL_TYPES])
    size = mean_total * rna[kinds] * np.exp(rng.normal(-0.06, 0.35, len(kinds)))
    profiles = biology.profiles * np.exp(donor)
    profiles /= profiles.sum(axis=1, keepdims=True)
    parts = []
    for start in range(0, len(kinds), _CHUNK):
        chosen = slice(start, start + _CHUNK)
        activity = states[chosen] * biology.response[kinds[chosen]]
        mean = np.exp(activity @ biology.loadings)
        mean *= profiles[kinds[chosen]]
        mean *= size[chosen, None]
        mean *= rng.gamma(1 / biology.dispersion, biology.dispersion, mean.shape)
        parts.append(sp.csr_matrix(rng.poisson(mean).astype(np.int32)))
    return sp.vstack(parts, format="csr", dtype=np.int32)


def expected_shares(
    biology: Biology, kinds: np.ndarray, states: np.ndarray, donor: np.ndarray, genes: np.ndarray
) -> np.ndarray:
    """Expected share (cells, given genes) of a cell's molecules; other parameters as of `draw_molecules`."""
    profiles = biology.profiles * np.exp(donor)
    profiles /= profiles.sum(axis=1, keepdims=True)
    activity = states * biology.response[kinds]
    return profiles[:, genes][kinds] * np.exp(activity @ biology.loadings[:, genes])


def redraw(molecules: sp.csr_matrix, columns: np.ndarray, drawn: np.ndarray) -> sp.csr_matrix:
    """`molecules` (cells, genes) with `columns` replaced by the dense `drawn` (cells, columns)."""
    keep = np.ones(molecules.shape[1])
    keep[columns] = 0
    rest = (molecules @ sp.diags(keep)).tocsr()
    rest.eliminate_zeros()
    place = sp.csr_matrix(
        (np.ones(len(columns)), (np.arange(len(columns)), columns)), shape=(len(columns), molecules.shape[1])
    )
    return (rest + sp.csr_matrix(drawn) @ place).astype(np.int32).tocsr()


def thin(molecules: sp.csr_matrix, chance: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Keep each molecule with its gene's `chance` (genes,), clipped to 0-1."""
    kept = molecules.copy()
    kept.data = rng.binomial(molecules.data, np.clip(chance, 0, 1)[molecules.indices]).astype(np.int32)
    kept.eliminate_zeros()
    return kept


def calibrate(efficiency: np.ndarray, totals: np.ndarray, wanted: float) -> np.ndarray:
    """Scale `efficiency` so that, of molecules with gene sums `totals`, `wanted` are captured in expectation."""
    return efficiency * (wanted / (totals * efficiency).sum())
