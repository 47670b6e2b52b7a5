"""Clusterers of observations by any embedding: Leiden, k-means and Gaussian mixtures, and how many domains there are.

None of them sees where an observation lies: what of space there is, the embedding holds.
"""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

# Leiden's graph. Of more rows than these exact neighbours, whose cost grows with the square, take longer than those of
# NN-descent with all that it compiles first: 41 s against 38 s (200,000 rows: 11 s more).
NEIGHBORS, MOST_EXACT = 15, 40_000
# As many as of expression: more of them are noise that a covariance has to be estimated for.
COMPONENTS = 15
LEAST_SPREAD = 1e-3
# Fewer where rows are few: a mixture of so many domains has a fifth as many parameters as there are rows at most. On
# 262 spots of olfactory bulb five components find its layers (ARI .59), fifteen do not (.2 to .3).
USUAL_DOMAINS, ROWS_PER_PARAMETER = 7, 5
# EM ends where its start lets it: of short runs the best few go on, and the likeliest is taken.
STARTS, FINALISTS = 24, 4
SHORT_STEPS, LONG_STEPS = 25, 500
# To choose a number: the most that are tried, from where on more are taken for chance, and how many of these it takes.
MOST_DOMAINS, CHANCE_FROM, FEWEST_ON_LINE = 16, 8, 4
# Fewer starts and rows for each: a line through many numbers is not moved by one.
STARTS_TO_CHOOSE, ROWS_TO_CHOOSE = 8, 4_000
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

    n = len(embedding)
    if n < 4 or embedding.size == 0 or np.ptp(embedding) == 0:
        return np.full(n, "1", dtype=object)
    near = nearest(embedding, min(NEIGHBORS, n - 1), seed)
    bare = ad.AnnData(np.zeros((n, 1), np.float32))
    sc.tl.leiden(
        bare,
        resolution=resolution,
        adjacency=near.maximum(near.T).tocsr(),
        random_state=seed,
        flavor="igraph",
        # To the end, but for many rows, where gains of a few nodes go on for many minutes: there as scanpy advises.
        n_iterations=-1 if n <= MOST_EXACT else 2,
        directed=False,
    )
    return by_size(bare.obs["leiden"].to_numpy().astype(str))


def nearest(embedding: np.ndarray, k: int, seed: int = 0) -> sp.csr_matrix:
    """Return the graph (n, n) of ones from each row to its `k` nearest others.

    Exact up to `MOST_EXACT` rows; of more, NN-descent (Dong et al., WWW 2011) finds .96 of them where rows are noise.
    """
    if len(embedding) <= MOST_EXACT:
        from sklearn.neighbors import kneighbors_graph

        return kneighbors_graph(embedding, k, mode="connectivity")
    from pynndescent import NNDescent

    rows = np.asarray(embedding, np.float32)
    found = NNDescent(rows, n_neighbors=k + 1, random_state=seed, n_jobs=1).neighbor_graph[0]
    others = found != np.arange(len(rows))[:, None]
    others[others.all(axis=1), -1] = False  # a row with equals need not be among its own
    bounds = np.arange(len(rows) + 1) * k
    return sp.csr_matrix((np.ones(found[others].size), found[others], bounds), shape=(len(rows), len(rows)))


def kmeans_labels(embedding: np.ndarray, domains: int, seed: int = 0) -> np.ndarray:
    """Cluster the principal components of `embedding` (n, k) by k-means, the best of ten starts."""
    from sklearn.cluster import KMeans

    rows = principal(embedding)
    domains = min(domains, len(np.unique(rows, axis=0)))
    if domains < 2:
        return np.full(len(rows), "1", dtype=object)
    return by_size(KMeans(domains, n_init=10, random_state=seed).fit_predict(rows).astype(str))


def mixture_labels(embedding: np.ndarray, domains: int | None = None, seed: int = 0) -> np.ndarray:
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

    Returns
    -------
    numpy.ndarray
        (n,) labels "1" (the largest domain), "2", …
    """
    rows = principal(embedding, supported_components(len(embedding)))
    fitted = _sample(rows, seed, ROWS_TO_FIT)
    if domains is None:
        domains = choose_domains(embedding, seed)
    domains = min(domains, _most_domains(fitted))
    if domains < 2:
        return np.full(len(rows), "1", dtype=object)
    return by_size(fit_mixture(fitted, domains, seed).predict(rows).astype(str))


def choose_domains(embedding: np.ndarray, seed: int = 0) -> int:
    """Number of domains by the slope heuristic (Baudry, Maugis & Michel, Statistics and Computing 2012).

    Beyond the domains that there are, the log-likelihood of mixtures grows with their parameters in a straight line:
    its slope is what a parameter gains by chance. Twice that is the price of one, and the number is chosen whose
    likelihood is largest after paying. BIC's price is that of independent rows that are truly Gaussian; spots that
    lie next to each other share what is around them, domains pass into one another, and with it the criterion falls
    on and on and cuts a gradient into slices.

    The range of the line was settled on six sections, of which it finds 7 and 7 domains on DLPFC (7 layers), 6, 6, 4
    and 8 on simulated ones (6, 6, 5, 5); on four others 7, 10, 5 and 6 (6, 6, 5, 5).
    A few hundred spots of a field that is smooth over two rings may be cut although it has no domains.
    """
    rows = _sample(principal(embedding, supported_components(len(embedding))), seed, ROWS_TO_CHOOSE)
    numbers = np.arange(1, min(MOST_DOMAINS, _most_domains(rows)) + 1)
    many = numbers >= CHANCE_FROM
    if many.sum() < FEWEST_ON_LINE:
        return 1
    models = [fit_mixture(rows, number, seed, starts=STARTS_TO_CHOOSE) for number in numbers]
    likelihood = np.array([model.score(rows) * len(rows) for model in models])
    parameters = np.array([_parameters(*model.means_.shape) for model in models])
    slope = np.polyfit(parameters[many], likelihood[many], 1)[0]
    return int(numbers[np.argmax(likelihood - 2 * slope * parameters)])


def supported_components(rows: int) -> int:
    """How many components, 2 to 15, a mixture of 7 domains can be estimated for from so many rows."""
    for width in range(COMPONENTS, 2, -1):
        if ROWS_PER_PARAMETER * _parameters(USUAL_DOMAINS, width) <= rows:
            return width
    return 2


def fit_mixture(rows: np.ndarray, domains: int, seed: int = 0, *, starts: int = STARTS):
    """Fit `domains` Gaussians of one covariance to `rows` (n, k): the likeliest of many `starts`.

    Half of the starts are k-means of rows whose components all vary alike: where domains differ along a component
    of little variance, k-means of the rows themselves never begins near them.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    spread = rows.std(axis=0)
    alike = rows / np.where(spread > 0, spread, 1)
    drawn = np.random.default_rng(seed).integers(2**31, size=starts if domains > 1 else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = []
        for place, start in enumerate(drawn):
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


def _sample(rows: np.ndarray, seed: int, most: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]


def by_size(labels: np.ndarray) -> np.ndarray:
    """Rename labels to "1", "2", … from the largest group to the smallest."""
    codes, names = pd.factorize(labels, sort=True)
    sizes = np.bincount(codes, minlength=len(names))
    rank = np.empty(len(names), dtype=int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(names) + 1)
    return rank[codes].astype(str).astype(object)
