"""Clusterers of observations by any embedding: Leiden, k-means and Gaussian mixtures, and how many domains there are.

None of them sees where an observation lies: what of space there is, the embedding holds.
"""

import warnings

import anndata as ad
import numpy as np
import pandas as pd

# Leiden's graph.
NEIGHBORS = 15
# As many as of expression: more of them are noise that a covariance has to be estimated for.
COMPONENTS = 15
LEAST_SPREAD = 1e-3
# Fewer where rows are few: a mixture of so many domains has a fifth as many parameters as there are rows at most. On
# 262 spots of olfactory bulb five components find its layers (ARI .59), fifteen do not (.2 to .3).
USUAL_DOMAINS, ROWS_PER_PARAMETER = 7, 5
# EM ends where its start lets it: of short runs the best few go on, and the likeliest is taken.
STARTS, FINALISTS = 24, 4
SHORT_STEPS, LONG_STEPS = 25, 500
MOST_DOMAINS = 20
# Of four groups on a line, three Gaussians tell no more than two.
PATIENCE = 2
# A mixture is fitted on so many at most; all are then assigned.
ROWS_TO_FIT = 10_000


def principal(embedding: np.ndarray, most: int = COMPONENTS) -> np.ndarray:
    """Return the first `most` principal components (n, ≤ most) of an embedding (n, k), in its own units.

    What varies by less than a thousandth of the first is rounding.
    """
    from sklearn.decomposition import PCA

    embedding = np.asarray(embedding)
    n_components = min(most, *embedding.shape)
    if n_components == 0 or np.ptp(embedding) == 0:
        return np.zeros((len(embedding), 1))
    found = PCA(n_components, svd_solver="covariance_eigh").fit_transform(embedding).astype(np.float64)
    spread = found.std(axis=0)
    return found[:, spread > LEAST_SPREAD * spread.max()]


def leiden_labels(embedding: np.ndarray, resolution: float, seed: int = 0) -> np.ndarray:
    """Cluster the rows of `embedding` by Leiden on 15 nearest neighbours; labels are ordered by size."""
    import scanpy as sc
    from sklearn.neighbors import kneighbors_graph

    n = len(embedding)
    if n < 4 or embedding.size == 0 or np.ptp(embedding) == 0:
        return np.full(n, "1", dtype=object)
    # scanpy.pp.neighbors would compile for seven seconds in every job. This takes as long for 40,000
    # observations, is exact, and grows with their square.
    near = kneighbors_graph(embedding, min(NEIGHBORS, n - 1), mode="connectivity")
    bare = ad.AnnData(np.zeros((n, 1), np.float32))
    sc.tl.leiden(
        bare,
        resolution=resolution,
        adjacency=near.maximum(near.T).tocsr(),
        random_state=seed,
        flavor="igraph",
        n_iterations=-1,
        directed=False,
    )
    return by_size(bare.obs["leiden"].to_numpy().astype(str))


def kmeans_labels(embedding: np.ndarray, domains: int, seed: int = 0) -> np.ndarray:
    """Cluster the principal components of `embedding` (n, k) by k-means, the best of ten starts."""
    from sklearn.cluster import KMeans

    rows = principal(embedding)
    domains = min(domains, len(np.unique(rows, axis=0)))
    if domains < 2:
        return np.full(len(rows), "1", dtype=object)
    return by_size(KMeans(domains, n_init=10, random_state=seed).fit_predict(rows).astype(str))


def mixture_labels(
    embedding: np.ndarray, domains: int | None = None, seed: int = 0, *, shared: float = 1.0
) -> np.ndarray:
    """Cluster the principal components of `embedding` by Gaussians of one common covariance.

    The model ``EEE`` of mclust (Scrucca et al., The R Journal 2016): within a domain observations scatter far more
    along some components (depth, cell density) than along others, which k-means takes for domains. EM starts from
    24 k-means; the four likeliest after 25 steps go on to the end, and the likeliest of these is taken.

    Parameters
    ----------
    embedding
        (n, k), of any width: its first principal components are clustered, 15 or as many as its rows support.
    domains
        How many; None: as many as `choose_domains` finds.
    shared
        See `choose_domains`.

    Returns
    -------
    numpy.ndarray
        (n,) labels "1" (the largest domain), "2", …
    """
    rows = principal(embedding, supported_components(len(embedding)))
    fitted = _sample(rows, seed)
    if domains is None:
        domains = choose_domains(embedding, seed, shared=shared)
    domains = min(domains, _most_domains(fitted))
    if domains < 2:
        return np.full(len(rows), "1", dtype=object)
    return by_size(fit_mixture(fitted, domains, seed).predict(rows).astype(str))


def choose_domains(embedding: np.ndarray, seed: int = 0, *, shared: float = 1.0) -> int:
    """Number of domains by the Bayesian information criterion: the first that neither one nor two more improve.

    BIC takes rows for independent. Rows that are means over neighbourhoods are not: two spots next to each other
    were averaged from mostly the same ones, and n rows tell as much as ``n / shared`` independent ones. With all n
    the criterion falls on and on, and cuts a gradient into slices.

    Parameters
    ----------
    shared
        How many observations each row was averaged from; 1 where it is an observation of its own.
    """
    rows = _sample(principal(embedding, supported_components(len(embedding))), seed)
    most = min(MOST_DOMAINS, _most_domains(rows))
    if most < 2:
        return 1
    independent = len(embedding) / max(shared, 1.0)
    best, found = np.inf, 1
    for domains in range(1, most + 1):
        model = fit_mixture(rows, domains, seed)
        criterion = -2 * model.score(rows) * independent + _parameters(*model.means_.shape) * np.log(
            max(independent, 2.0)
        )
        if criterion < best:
            best, found = criterion, domains
        elif domains - found == PATIENCE:
            break
    return found


def supported_components(rows: int) -> int:
    """How many components, 2 to 15, a mixture of 7 domains can be estimated for from so many rows."""
    for width in range(COMPONENTS, 2, -1):
        if ROWS_PER_PARAMETER * _parameters(USUAL_DOMAINS, width) <= rows:
            return width
    return 2


def fit_mixture(rows: np.ndarray, domains: int, seed: int = 0):
    """Fit `domains` Gaussians of one covariance to `rows` (n, k): the likeliest of many starts.

    Half of the starts are k-means of rows whose components all vary alike: where domains differ along a component
    of little variance, k-means of the rows themselves never begins near them.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    spread = rows.std(axis=0)
    alike = rows / np.where(spread > 0, spread, 1)
    starts = np.random.default_rng(seed).integers(2**31, size=STARTS if domains > 1 else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = []
        for place, start in enumerate(starts):
            begin = KMeans(domains, n_init=1, random_state=int(start)).fit_predict((rows, alike)[place % 2])
            models.append(_begun(rows, begin).fit(rows))
        models = sorted(models, key=lambda model: -model.lower_bound_)[:FINALISTS]
        for model in models:
            model.set_params(max_iter=LONG_STEPS).fit(rows)
    return max(models, key=lambda model: model.lower_bound_)


def _begun(rows: np.ndarray, groups: np.ndarray):
    """A mixture that starts from hard `groups` (n,), numbered from 0."""
    from sklearn.mixture import GaussianMixture

    # Components of no variance would make the covariance singular.
    ridge = 1e-6 * float(rows.var(axis=0).max())
    sizes = np.bincount(groups)
    means = np.stack([rows[groups == group].mean(axis=0) for group in range(len(sizes))])
    within = rows - means[groups]
    covariance = within.T @ within / len(rows) + ridge * np.eye(rows.shape[1])
    return GaussianMixture(
        len(sizes),
        covariance_type="tied",
        reg_covar=ridge,
        init_params="random_from_data",  # replaced by the three below
        random_state=0,
        means_init=means,
        weights_init=sizes / len(rows),
        precisions_init=np.linalg.inv(covariance),
        max_iter=SHORT_STEPS,
        warm_start=True,
    )


def _parameters(domains: int, width: int) -> int:
    return domains * width + width * (width + 1) // 2 + domains - 1


def _most_domains(rows: np.ndarray) -> int:
    """No more than a third of the distinct rows: a Gaussian of one observation explains it perfectly."""
    return max(1, len(np.unique(rows, axis=0)) // 3)


def _sample(rows: np.ndarray, seed: int) -> np.ndarray:
    if len(rows) <= ROWS_TO_FIT:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), ROWS_TO_FIT, replace=False))]


def by_size(labels: np.ndarray) -> np.ndarray:
    """Rename labels to "1", "2", … from the largest group to the smallest."""
    codes, names = pd.factorize(labels, sort=True)
    sizes = np.bincount(codes, minlength=len(names))
    rank = np.empty(len(names), dtype=int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(names) + 1)
    return rank[codes].astype(str).astype(object)
