"""Does the ligand raise the target, and not the other way round? Simulated tissue, where signals are planted.

Three slides of a seed share their signals; `SIGNALS` are planted, and as many pairs look alike but are not answered.
AUROC: of planted (ligand, target) among all, by what a method says of it over the slides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.kept_tables import kept
from benchmarks.score_rows import Cost, Row, costing, rows
from benchmarks.spatial_network import SAGEFM, Bench, loaded, trained_on
from tissuemake.contracts import FILTERED, read_anndata, write_anndata

TEST = "direction"
PLANS = ("layered", "glandular", "infiltrated")
SPOTS, GENES, SIGNALS = 500, 1500, 12
# Standard deviation of the natural-log efficiency of genes.
GENE_SHIFT = 0.6
SLOPES, PARTIAL, PLAIN, MORAN = (
    "double selection",
    "partial r, 20 own PCs",
    "ring mean r",
    "bivariate Moran, as liana",
)
SWAPPED, SHUFFLED = "swapped", "neighbours shuffled"
# What each says, by column of a table of pairs, and which table.
METHODS = {
    SAGEFM: ("asked", "network_effect"),
    f"{SAGEFM}, {SWAPPED}": ("asked", "network_swapped_effect"),
    SLOPES: ("observed", "zscore"),
    f"{SLOPES}, {SWAPPED}": ("observed", "swapped_zscore"),
    f"{SLOPES}, {SHUFFLED}": ("shuffled", "zscore"),
    PARTIAL: ("correlations", "partial"),
    f"{PARTIAL}, {SWAPPED}": ("correlations", "partial_swapped"),
    PLAIN: ("correlations", "plain"),
    f"{PLAIN}, {SWAPPED}": ("correlations", "plain_swapped"),
    MORAN: ("correlations", "moran"),
}


@dataclass(frozen=True)
class Tissue:
    """The one problem."""

    name: str = "simulated"


def parts(test: str) -> Iterator[tuple[Tissue, str]]:
    """Problems and methods."""
    return ((Tissue(), method) for method in METHODS)


def score(bench: Bench, test: str, problem: Tissue, method: str, seed: int) -> Iterator[Row]:
    """AUROC over targets, and over receptors, whose own answer is a quarter as strong."""
    from sklearn.metrics import roc_auc_score

    kind, column = METHODS[method]
    folder = bench.work / "signals" / str(seed)
    truth = pd.read_csv(_slides(folder, seed)[0].with_name("signals.csv"))
    place = bench.own / "signals" if kind == "asked" else folder
    table = kept(place / f"{kind}-{seed}.parquet", lambda: MAKERS[kind](bench, folder, seed))
    cost = Cost(table["seconds"].iloc[0], table["peak_memory_mb"].iloc[0])
    merged = truth.merge(table, on=["ligand", "receptor", "target"])
    weak = merged["target"] == merged["receptor"]
    scores = {
        name: roc_auc_score(part["planted"], part[column])
        for name, part in (("AUROC", merged[~weak]), ("AUROC, receptors", merged[weak]))
    }
    return rows(TEST, problem.name, method, seed, scores, cost)


def _slides(folder: Path, seed: int) -> list[Path]:
    """Files ``filtered.h5ad`` of the seed's slides, made once; beside each its ``signals.csv``."""
    paths = [folder / plan / "filtered.h5ad" for plan in PLANS]
    for plan, path in zip(PLANS, paths, strict=True):
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            adata, signals = simulated_slide(seed, plan, SPOTS, GENES, SIGNALS)
            signals.to_csv(path.with_name("signals.csv"), index=False)
            write_anndata(adata, path, FILTERED)
    return paths


def simulated_slide(
    seed: int, plan: str, spots: int, genes: int, signals: int
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Contract FILTERED of Visium spots over a simulated tissue, and its truth."""
    from tissuemake.simulate.vendor_folders import cell_table, simulate_cells
    from tissuemake.simulate.visium import capture_spots

    section, cells = simulate_cells(seed=seed, spots=spots, zones=plan, n_genes=genes, signals=signals)
    capture = capture_spots(section, cell_table(cells), cells.X, seed, GENE_SHIFT)
    inside = capture.spots["in_tissue"].to_numpy() == 1
    counts = sp.csr_matrix(capture.counts[inside], dtype=np.float32)
    total = np.asarray(counts.sum(axis=1)).ravel()
    obs = pd.DataFrame(
        {"in_tissue": True, "total_counts": total, "n_genes_by_counts": np.diff(counts.indptr)},
        index=capture.spots.index[inside],
    )
    values = sp.csr_matrix(sp.diags(1e4 / np.maximum(total, 1)) @ counts).log1p().astype(np.float32)
    adata = ad.AnnData(values, obs=obs, var=cells.var.copy(), layers={"counts": counts})
    adata.obsm["spatial"] = capture.spots.loc[inside, ["x", "y"]].to_numpy()
    name = f"{plan}_{seed}"
    adata.uns = {
        "spatial": {name: {"images": {}, "scalefactors": {"microns_per_pixel": 1.0}}},
        "tissuemake": {
            "sample": name,
            "organism": "human",
            "lattice": "hexagonal",
            "pitch_um": 100.0,
            "observation": "spot",
        },
        "dropped": pd.DataFrame({"reason": []}),
    }
    return adata, cells.uns["signals"]


def _asked(bench: Bench, folder: Path, seed: int) -> pd.DataFrame:
    """What `perturb` says of all slides together, of which the network has learnt."""
    paths = _slides(folder, seed)
    model, taught = trained_on(bench, paths, "signals", SAGEFM, seed)
    return _perturbed(paths, loaded(model), seed, taught)


def _perturbed(paths, model, seed, before=None, shuffle=None):
    from tissuemake.models.sagefm.perturb import combine_slides, perturb

    slides = []
    with costing() as cost:
        for path in paths:
            adata = read_anndata(path, FILTERED)
            if shuffle is not None:
                adata.obsm["spatial"] = shuffle.permutation(adata.obsm["spatial"])
            slides.append(perturb(adata, model, pairs=path.with_name("signals.csv"), seed=seed))
    spent = cost if before is None else cost.and_before(before)
    return combine_slides(pd.concat(slides, ignore_index=True)).assign(**vars(spent))


class Vocabulary:
    """All genes of a slide and no network: for what is read from the data alone."""

    def __init__(self, genes: list[str]) -> None:
        self.genes = genes

    def read(self, adata: ad.AnnData, sample: str = ""):
        """Take the genes out of a section."""
        from tissuemake.models.sagefm.section import read_section

        return read_section(adata, self.genes)

    def predict(self, section, hidden=None) -> np.ndarray:
        """Nothing changes."""
        return np.zeros(section.counts.shape, dtype=np.float32)


def _observed(
    bench: Bench, folder: Path, seed: int, shuffle: np.random.Generator | None = None
) -> pd.DataFrame:
    """What `perturb` reads from the slides alone."""
    paths = _slides(folder, seed)
    genes = list(read_anndata(paths[0], FILTERED).var_names)
    return _perturbed(paths, Vocabulary(genes), seed, shuffle=shuffle)


def _shuffled(bench: Bench, folder: Path, seed: int) -> pd.DataFrame:
    """The same with every spot at another's place."""
    return _observed(bench, folder, seed, np.random.default_rng(seed))


def _correlations(bench: Bench, folder: Path, seed: int) -> pd.DataFrame:
    """Ligand over the nearest 18 spots with the target of the spot, both ways, mean over slides."""
    with costing() as cost:
        slides = [
            correlated(read_anndata(path, FILTERED), pd.read_csv(path.with_name("signals.csv")))
            for path in _slides(folder, seed)
        ]
    keys = ["ligand", "receptor", "target"]
    table = pd.concat(slides).groupby(keys, sort=False).mean(numeric_only=True).reset_index()
    return table.assign(**vars(cost))


def correlated(adata: ad.AnnData, signals: pd.DataFrame) -> pd.DataFrame:
    """Columns plain, partial, moran (and the first two swapped) beside ligand, receptor, target."""
    from sklearn.decomposition import PCA

    from tissuemake.domains.neighbors import contact_graph
    from tissuemake.imputation.neighbors import ring_means

    names = pd.unique(signals[["ligand", "target"]].to_numpy().ravel())
    own = np.asarray(adata[:, names].X.toarray(), dtype=float)
    around = ring_means(adata.obsm["spatial"], 18) @ own
    rest = adata[:, ~adata.var_names.isin(names)].X
    depth = np.log(np.maximum(adata.obs["total_counts"].to_numpy(float), 1))
    components = PCA(20, svd_solver="arpack", random_state=0).fit_transform(rest)
    known = np.column_stack([np.ones(len(depth)), depth, depth**2, components])
    basis, _ = np.linalg.qr(known)
    one, other = (pd.Index(names).get_indexer(signals[side]) for side in ("ligand", "target"))
    plain = _correlation(around, own)
    partial = _correlation(*(part - basis @ (basis.T @ part) for part in (around, own)))
    z = (own - own.mean(axis=0)) / own.std(axis=0)
    # A spot is its own neighbour, as where the workflow scores pairs; the product is the same both ways.
    contacts = contact_graph(adata.obsm["spatial"], "hexagonal") + sp.identity(len(z))
    moran = (contacts @ z).T @ z / contacts.sum()
    return signals[["ligand", "receptor", "target"]].assign(
        plain=plain[one, other],
        plain_swapped=plain[other, one],
        partial=partial[one, other],
        partial_swapped=partial[other, one],
        moran=moran[one, other],
    )


def _correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = (part - part.mean(axis=0) for part in (left, right))
    return (left / np.linalg.norm(left, axis=0)).T @ (right / np.linalg.norm(right, axis=0))


MAKERS = {"asked": _asked, "observed": _observed, "shuffled": _shuffled, "correlations": _correlations}
