"""Genes go to the method that is better at them by more than chance, and nothing is scored twice."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import IMPUTED, read_anndata, write_anndata
from tissuemake.errors import InputError
from tissuemake.imputation.combined import choose, combine_imputed

SPOTS = 400  # two standard errors are .1


def table(**scores: float | None) -> pd.DataFrame:
    r = pd.Series({gene: np.nan if value is None else value for gene, value in scores.items()}, dtype=float)
    return pd.DataFrame(
        {"gene_id": "", "measured": r.notna(), "held_out_r": r, "held_out_r_depth_adjusted": r / 2}
    )


def test_a_gene_changes_over_only_when_the_other_is_clearly_ahead():
    said = {
        "one": table(A=0.5, B=0.5, C=0.2, D=None),
        "two": table(A=0.3, B=0.55, C=0.4, D=None),
    }
    chosen = choose(said, SPOTS)
    assert chosen["method"].to_dict() == {"A": "one", "B": "one", "C": "two", "D": "one"}
    assert chosen.loc["C", "held_out_r"] == 0.4 and chosen.loc["B", "held_out_r"] == 0.5
    # With a hundred times the spots the same lead of .05 is no chance any more.
    assert choose(said, 100 * SPOTS).loc["B", "method"] == "two"


def test_the_usual_method_is_the_better_one_of_genes_that_both_have():
    said = {"one": table(A=0.1, B=0.9, U=None), "two": table(A=0.2, V=None)}
    assert choose(said, SPOTS)["method"].to_dict() == {"A": "two", "V": "two", "B": "one", "U": "one"}


def test_a_method_that_was_never_scored_says_only_what_nobody_else_does():
    said = {"taught": table(A=None, B=None, C=None), "scored": table(A=0.01, B=None)}
    assert choose(said, SPOTS)["method"].to_dict() == {"A": "scored", "B": "scored", "C": "taught"}


def written(folder, name: str, var: pd.DataFrame, value: float):
    spots = [f"s{i}" for i in range(6)]
    data = ad.AnnData(
        np.full((6, len(var)), value, np.float32),
        obs=pd.DataFrame({"total_counts": 1.0}, index=spots),
        var=var,
    )
    data.obsm["spatial"] = np.arange(12.0).reshape(6, 2)
    data.uns["tissuemake"] = {"method": name}
    write_anndata(data, folder / f"{name}.h5ad", IMPUTED)
    return folder / f"{name}.h5ad"


def test_values_are_those_of_the_chosen_method(tmp_path):
    files = {
        "one": written(tmp_path, "one", table(A=0.95, B=-0.5), 1.0),
        "two": written(tmp_path, "two", table(B=0.9, A=0.0, C=None), 2.0),
    }
    combine_imputed(files, tmp_path / "combined.h5ad")
    combined = read_anndata(tmp_path / "combined.h5ad", IMPUTED)
    assert combined[:, ["A", "B", "C"]].X[0].tolist() == [1.0, 2.0, 2.0]
    assert combined.uns["tissuemake"]["genes"] == {"one": 1, "two": 2}
    assert combined.uns["tissuemake"]["n_held_out"] == 2


def test_nothing_to_combine_is_said(tmp_path):
    empty = written(tmp_path, "empty", table(), 0.0)
    with pytest.raises(InputError) as caught:
        combine_imputed({"empty": empty}, tmp_path / "combined.h5ad")
    assert caught.value.code == "nothing_to_combine"
