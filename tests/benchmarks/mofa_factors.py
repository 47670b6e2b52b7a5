"""MOFA factors of a matrix, as a process: `python mofa_factors.py VALUES.npy OUTPUT.npy SEED`; needs mofapy2 alone."""

import sys

import numpy as np

FACTORS, ITERATIONS = 15, 100


def main(values: str, output: str, seed: str) -> None:
    """Fit a Gaussian view with the authors' defaults: spike and slab and relevance priors on the weights."""
    from mofapy2.run.entry_point import entry_point

    model = entry_point()
    model.set_data_options(scale_views=False, use_float32=True)
    model.set_data_matrix(
        [[np.load(values).astype(float)]],
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
