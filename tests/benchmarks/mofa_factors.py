"""MOFA factors of a section, as a process: `python mofa_factors.py FILTERED.h5ad OUTPUT.npy SEED`.

Argelaguet et al., Genome Biology 2020. Needs mofapy2 and anndata.
"""

import sys

import anndata as ad
import numpy as np

GENES, FACTORS, ITERATIONS = 2000, 15, 100


def main(filtered: str, output: str, seed: str) -> None:
    """Fit a Gaussian view with the authors' defaults: spike and slab and relevance priors on the weights."""
    from mofapy2.run.entry_point import entry_point

    values = ad.read_h5ad(filtered).X
    mean = np.asarray(values.mean(axis=0)).ravel()
    variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
    model = entry_point()
    model.set_data_options(scale_views=False, use_float32=True)
    model.set_data_matrix(
        [[values[:, np.sort(np.argsort(-variance)[:GENES])].toarray().astype(float)]],
        likelihoods=["gaussian"],
        views_names=["rna"],
        groups_names=["section"],
    )
    model.set_model_options(factors=FACTORS, spikeslab_weights=True, ard_weights=True)
    model.set_train_options(
        iter=ITERATIONS, convergence_mode="fast", seed=int(seed), quiet=True, verbose=False
    )
    model.build()
    model.run()
    np.save(output, np.asarray(model.model.nodes["Z"].getExpectation()))


if __name__ == "__main__":
    main(*sys.argv[1:4])
