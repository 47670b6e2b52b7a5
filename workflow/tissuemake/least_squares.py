"""Ground floor: non-negative least squares for many spots at once, by block principal pivoting.

One signature matrix serves all spots, so its Gram matrix is formed once and a spot costs as little as a small
linear solve. The solution is that of ``scipy.optimize.nnls``, to rounding, for signatures of full rank.

Kim & Park 2011, Fast nonnegative matrix factorization: an active-set-like method and comparisons,
SIAM J. Sci. Comput. 33(6).
"""

import numpy as np

CHUNK = 4096
# Exchanges of the whole infeasible set allowed without progress before falling back to one at a time.
PATIENCE = 3
RIDGE = 1e-10


def solve_nnls(gram: np.ndarray, products: np.ndarray, max_iterations: int | None = None) -> np.ndarray:
    """Minimise ``|A x - y|`` over ``x >= 0`` for many ``y``.

    Parameters
    ----------
    gram
        ``A.T @ A``, (k, k), or one for each right-hand side, (n, k, k).
    products
        ``Y @ A``, (n, k): one row for each right-hand side.
    max_iterations
        Pivots at most; None: ``20 k + 50``. What has not converged by then is clipped at zero.

    Returns
    -------
    ndarray
        (n, k) float64, non-negative.
    """
    gram = np.asarray(gram, dtype=np.float64)
    products = np.asarray(products, dtype=np.float64)
    n, k = products.shape
    # Two types of one profile would make the system singular; this shares the weight between them.
    mean_diagonal = np.trace(gram, axis1=-2, axis2=-1) / k
    gram = gram + np.eye(k) * (RIDGE * np.maximum(mean_diagonal, 1e-300))[..., None, None]
    limit = max_iterations or 20 * k + 50
    solution = np.zeros((n, k))
    for start in range(0, n, CHUNK):
        chunk = slice(start, start + CHUNK)
        solution[chunk] = _pivot(gram[chunk] if gram.ndim == 3 else gram, products[chunk], limit)
    return solution


def _pivot(gram: np.ndarray, products: np.ndarray, limit: int) -> np.ndarray:
    n, k = products.shape
    passive = np.zeros((n, k), dtype=bool)
    x = np.zeros((n, k))
    dual = -products.copy()
    patience = np.full(n, PATIENCE)
    fewest = np.full(n, k + 1)
    # Signs are judged against the size of the problem; exact zero would let rounding cycle for ever.
    tolerance = 1e-12 * np.maximum(np.abs(products).max(axis=1, initial=0), 1e-300)[:, None]
    diagonal = np.maximum(np.diagonal(gram, axis1=-2, axis2=-1), 1e-300)
    for _ in range(limit):
        wrong = (passive & (x < -tolerance / diagonal)) | (~passive & (dual < -tolerance))
        count = wrong.sum(axis=1)
        todo = np.flatnonzero(count)
        if todo.size == 0:
            break
        wrong, count = wrong[todo], count[todo]
        better = count < fewest[todo]
        fewest[todo[better]] = count[better]
        patience[todo[better]] = PATIENCE
        patience[todo[~better]] -= 1
        # Murty's rule, one exchange at the highest index, ends for certain where whole blocks may cycle.
        single = np.flatnonzero(~better & (patience[todo] < 0))
        if single.size:
            last = k - 1 - np.argmax(wrong[single, ::-1], axis=1)
            wrong[single] = False
            wrong[single, last] = True
        passive[todo] ^= wrong
        own = gram[todo] if gram.ndim == 3 else gram
        x[todo] = _solve_passive(own, products[todo], passive[todo])
        dual[todo] = (x[todo][:, None, :] @ own)[:, 0] - products[todo]
    return np.maximum(x, 0)


def _solve_passive(gram: np.ndarray, products: np.ndarray, passive: np.ndarray) -> np.ndarray:
    """Least squares over each row's passive set: the other rows and columns become those of identity."""
    both = passive[:, :, None] & passive[:, None, :]
    systems = np.where(both, gram, 0.0)
    k = gram.shape[-1]
    systems[:, np.arange(k), np.arange(k)] += ~passive
    right = np.where(passive, products, 0.0)
    return np.linalg.solve(systems, right[..., None])[..., 0]
