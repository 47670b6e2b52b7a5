"""A toy section in which some ligands raise a target in the spots around, and a linear model that answers for it."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from models.sagefm import toy_section
from tissuemake.device import given_device
from tissuemake.models.sagefm.responses import neighborhood_means
from tissuemake.models.sagefm.section import Section, read_section

SENDERS, PER_STATE, OTHERS = 6, 15, 40
LIGANDS = [f"LIG{i}" for i in range(SENDERS)]
TARGETS = [f"TAR{i}" for i in range(SENDERS)]
# The first half is planted.
PLANTED = SENDERS // 2


def section(seed: int, rows: int = 28, columns: int = 28, gain: float = 3.0) -> ad.AnnData:
    """Contract FILTERED. Ligand i and its companions follow field i; target i of a planted one, the ligand around."""
    adata = toy_section.section(seed, rows, columns, genes=1)
    rng = np.random.default_rng(seed)
    near = read_section(adata, []).neighbors
    fields = rng.normal(size=(len(adata), SENDERS))
    fields = 0.3 * fields + neighborhood_means(fields, near)
    fields = (fields - fields.mean(axis=0)) / fields.std(axis=0)
    ligand = np.exp(0.8 * fields)
    around = neighborhood_means(ligand, near)
    around[:, PLANTED:] = 1
    target = (1 + gain * around) / (1 + gain)
    companions = np.repeat(np.exp(0.8 * fields), PER_STATE, axis=1)
    others = np.exp(0.4 * rng.normal(size=(len(adata), 3)) @ rng.normal(size=(3, OTHERS)))
    rates = 15 * np.hstack([ligand, target, companions, others]) * rng.lognormal(0, 0.3, (len(adata), 1))
    counts = sp.csr_matrix(rng.poisson(rates).astype(np.float32))
    names = [*LIGANDS, *TARGETS, *(f"G{i}" for i in range(SENDERS * PER_STATE + OTHERS))]
    return _filtered(adata, counts, names)


def _filtered(adata: ad.AnnData, counts: sp.csr_matrix, names: list[str]) -> ad.AnnData:
    total = np.asarray(counts.sum(axis=1)).ravel()
    logs = sp.csr_matrix(np.log1p(counts.toarray() * (1e4 / total)[:, None]).astype(np.float32))
    made = ad.AnnData(logs, obs=adata.obs.copy(), var=pd.DataFrame({"gene_id": ""}, index=names))
    made.obs["total_counts"], made.layers["counts"] = total, counts
    made.obsm["spatial"], made.uns = adata.obsm["spatial"], dict(adata.uns)
    return made


class Linear:
    """Ridge of every gene on the other genes of the spot and the mean of its neighbours: the protocol's least."""

    device = given_device(0)

    def __init__(self, taught: list[ad.AnnData]) -> None:
        self.genes = list(taught[0].var_names)
        blocks = [self._features(self.read(one)) for one in taught]
        own, around = (np.vstack([block[i] for block in blocks]) for i in (0, 1))
        self.level = own.mean(axis=0)
        x, y = around - around.mean(axis=0), own - self.level
        self.around_level = around.mean(axis=0)
        self.slopes = np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ y)

    def read(self, adata: ad.AnnData, sample: str = "") -> Section:
        return read_section(adata, self.genes)

    @staticmethod
    def _features(part: Section) -> tuple[np.ndarray, np.ndarray]:
        values = part.log_values().toarray().astype(float)
        return values, neighborhood_means(values, part.neighbors)

    def predict(self, part: Section, hidden: np.ndarray | None = None) -> np.ndarray:
        _, around = self._features(part)
        # As the network: what a section has throughout is its own level.
        return (self.level + (around - around.mean(axis=0)) @ self.slopes).astype(np.float32)
