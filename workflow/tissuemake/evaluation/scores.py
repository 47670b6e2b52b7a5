"""Score one sample's composition, imputation and domains, each beside baselines that know nothing."""

from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial import cKDTree

from tissuemake.evaluation import metrics
from tissuemake.evaluation.tables import as_array, match_types, without_unknown
from tissuemake.expression import most_variable

PERMUTATIONS = 20
BASELINE_COMPONENTS = 20
BASELINE_GENES = 2000
NEIGHBORS = 6

Scores = list[tuple[str, str, float]]


def composition(
    proportions: dict[str, pd.DataFrame],
    truth: pd.DataFrame | None,
    unknown: dict[str, pd.Series] | None = None,
) -> Scores:
    """(method, metric, value) for compositions against the truth, where there is one.

    ``pearson``: mean over the truth's types that vary, a type the method lacks counting 0;
    ``pearson_shared``: over the types both have; ``pearson[TYPE]``: each. ``rmse``, ``jsd``: mean over
    spots, over the union of types. ``aupr``: of a type's presence. Baselines: ``uniform``, and
    ``mean_composition``: in every spot the truth's own mean, which no method could know.

    All of these are of the types alone, `proportions` and truth without ``unknown`` and summing to 1. Where the
    truth has a column ``unknown``, the `unknown` shares of the methods that state them are scored by
    themselves: ``unknown_pearson``, ``unknown_rmse``, ``unknown_auroc`` (spots with any against those with none).
    """
    scores: Scores = []
    if truth is not None:
        truth, hidden = without_unknown(truth)
        for method, share in (unknown or {}).items() if hidden is not None else ():
            scores += _against_unknown(method, share.loc[hidden.index], hidden)
    if truth is not None and len(truth):
        found = sorted(set().union(*(table.columns for table in proportions.values())))
        truth = match_types(truth, found)
        types = [*truth.columns, *(name for name in found if name not in truth)]
        flat = pd.DataFrame(1 / len(types), index=truth.index, columns=types)
        mean = truth * 0 + truth.mean(axis=0)
        for method, table in {**proportions, "uniform": flat, "mean_composition": mean}.items():
            scores += _against_truth(method, table.loc[truth.index], truth, types)
    return scores


def agreement(proportions: dict[str, pd.DataFrame]) -> Scores:
    """(method, metric, value) for compositions against each other: the mean correlation over their types."""
    scores: Scores = []
    for left, right in combinations(proportions, 2):
        shared = metrics.pearson_by_type(proportions[left], proportions[right]).mean()
        scores += [
            (left, f"agreement_with[{right}]", shared),
            (right, f"agreement_with[{left}]", shared),
        ]
    return scores


def _against_truth(method: str, table: pd.DataFrame, truth: pd.DataFrame, types: list[str]) -> Scores:
    each = metrics.pearson_by_type(table, truth)
    shared = each[[name for name in each.index if name in table]]
    found, known = as_array(table, types), as_array(truth, types)
    return [
        (method, "pearson", each.mean()),
        (method, "pearson_shared", shared.mean()),
        (method, "rmse", metrics.rmse(found, known)),
        (method, "jsd", metrics.jensen_shannon(found, known)),
        (method, "aupr", metrics.presence_precision(found, known)),
        (method, "spots", float(len(truth))),
        *((method, f"pearson[{name}]", value) for name, value in each.items()),
    ]


def _against_unknown(method: str, share: pd.Series, truth: pd.Series) -> Scores:
    found, known = share.to_numpy(np.float64)[:, None], truth.to_numpy(np.float64)[:, None]
    return [
        (method, "unknown_pearson", float(metrics.pearson(found, known)[0])),
        (method, "unknown_rmse", float(np.sqrt(((found - known) ** 2).mean()))),
        (method, "unknown_auroc", metrics.presence_rank(found, known)),
    ]


def imputation(imputed: dict[str, ad.AnnData], filtered: ad.AnnData) -> Scores:
    """(method, metric, value): median over hidden genes of the correlation within the section.

    Baselines on the genes that any method hid: ``depth``, the log library size without the gene, and
    ``gene_mean``, which is constant and so correlates 0.
    """
    scores: Scores = []
    hidden: set[str] = set()
    for method, table in imputed.items():
        held = table.var["held_out_r"].dropna()
        if held.empty:
            continue
        hidden |= set(held.index)
        scores += [
            (method, "held_out_r", held.median()),
            (method, "held_out_r_depth_adjusted", table.var["held_out_r_depth_adjusted"].median()),
            (method, "held_out_genes", float(len(held))),
        ]
    genes = [gene for gene in filtered.var_names if gene in hidden]
    if genes:
        scores += [
            ("depth", "held_out_r", float(np.nanmedian(_depth_correlation(filtered[:, genes], filtered)))),
            ("depth", "held_out_r_depth_adjusted", 0.0),
            ("gene_mean", "held_out_r", 0.0),
            ("gene_mean", "held_out_r_depth_adjusted", 0.0),
        ]
    for left, right in combinations(imputed, 2):
        both = imputed[left].var_names.intersection(imputed[right].var_names)
        if len(both) and imputed[left].n_obs > 2:
            each = metrics.pearson(_dense(imputed[left][:, both].X), _dense(imputed[right][:, both].X))
            agreement = float(np.nanmedian(each)) if np.isfinite(each).any() else float("nan")
            scores += [
                (left, f"agreement_with[{right}]", agreement),
                (right, f"agreement_with[{left}]", agreement),
            ]
    return scores


def _depth_correlation(part: ad.AnnData, filtered: ad.AnnData) -> np.ndarray:
    total = np.asarray(filtered.layers["counts"].sum(axis=1))
    depth = np.log1p(np.maximum(total - _dense(part.layers["counts"]), 0))
    return metrics.pearson(depth, _dense(part.X))


def domains(table: pd.DataFrame, filtered: ad.AnnData, labels: pd.Series | None, seed: int = 0) -> Scores:
    """(method, metric, value) per column: ``ari`` and ``nmi`` against labels; how many domains, how coherent.

    ``neighbors_alike``: the share of a spot's six nearest that stand in its own domain. Baselines:
    ``permuted`` (the first method's domains, shuffled, mean of 20) and ``kmeans`` (on 20 components of
    expression, with as many clusters as there are labels, a hint that no method had). A method is scored on the
    spots that it labelled: ``spots`` says how many; those without a tile have none from the image.
    """
    rng = np.random.default_rng(seed)
    positions = pd.DataFrame(np.asarray(filtered.obsm["spatial"], dtype=float), index=filtered.obs_names)
    columns = {name: table[name].dropna().astype(str) for name in table if table[name].notna().any()}
    scores: Scores = []
    for name, values in columns.items():
        nearest = _nearest(positions.loc[values.index].to_numpy())
        scores += [
            (name, "domains", float(values.nunique())),
            (name, "neighbors_alike", _neighbors_alike(nearest, values.to_numpy())),
        ]
    first = next(iter(columns.values()))
    nearest = _nearest(positions.loc[first.index].to_numpy())
    shuffled = [pd.Series(rng.permutation(first.to_numpy()), index=first.index) for _ in range(PERMUTATIONS)]
    alike = [_neighbors_alike(nearest, values.to_numpy()) for values in shuffled]
    scores.append(("permuted", "neighbors_alike", float(np.mean(alike))))
    if labels is not None and labels.nunique() > 1:
        kmeans = pd.Series(_kmeans(filtered, labels.nunique(), seed), index=filtered.obs_names)
        for name, values in {**columns, "kmeans": kmeans}.items():
            scores += _against_labels(name, values, labels)
        chance = [_against_labels("permuted", values, labels) for values in shuffled]
        for place, (name, metric, _) in enumerate(chance[0]):
            scores.append((name, metric, float(np.mean([draw[place][2] for draw in chance]))))
    for left, right in combinations(columns, 2):
        both = columns[left].index.intersection(columns[right].index)
        agreement = metrics.adjusted_rand(columns[left][both], columns[right][both])
        scores += [
            (left, f"agreement_with[{right}]", agreement),
            (right, f"agreement_with[{left}]", agreement),
        ]
    return scores


def _against_labels(method: str, found: pd.Series, labels: pd.Series) -> Scores:
    both = labels.index.intersection(found.index)
    if both.empty:
        return []
    found, labels = found[both], labels[both]
    return [
        (method, "ari", metrics.adjusted_rand(found, labels)),
        (method, "nmi", metrics.mutual_information(found, labels)),
        (method, "spots", float(len(labels))),
    ]


def _nearest(positions: np.ndarray) -> np.ndarray:
    """Positions in the table of each spot's nearest spots, (n, up to 6)."""
    size = min(NEIGHBORS, len(positions) - 1)
    if size < 1:
        return np.zeros((len(positions), 0), dtype=int)
    return cKDTree(positions).query(positions, k=size + 1)[1][:, 1:]


def _neighbors_alike(nearest: np.ndarray, values: np.ndarray) -> float:
    return float((values[nearest] == values[:, None]).mean()) if nearest.size else float("nan")


def _kmeans(filtered: ad.AnnData, n_clusters: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    expression = sp.csr_matrix(filtered.X)[:, most_variable(filtered.X, BASELINE_GENES)]
    size = min(BASELINE_COMPONENTS, *(np.array(expression.shape) - 1))
    if size < 1:
        return np.zeros(filtered.n_obs).astype(str)
    components = PCA(size, svd_solver="arpack", random_state=seed).fit_transform(expression)
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(components).astype(str)


def _dense(values) -> np.ndarray:
    return values.toarray() if sp.issparse(values) else np.asarray(values)
