"""NNLS and its rescaled sister against exact and published compositions, and against what may go wrong."""

import numpy as np
import pandas as pd
import pytest

from tissuemake.contracts import FILTERED, PROPORTIONS, REFERENCE, read_table, write_anndata
from tissuemake.deconvolution import METHODS, deconvolve, names_of_reference, nnls, nnls_rescaled, to_shares
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson_by_type
from tissuemake.hierarchy import coarser


def mean_pearson(found, truth):
    """Over the types that both know, as the published numbers are."""
    shared = [name for name in truth if name in found]
    assert len(shared) >= 7
    return pearson_by_type(found[shared], truth[shared]).mean()


def estimate(method, spots, reference):
    return method.proportions(spots, reference.atlas, reference.signatures, reference.markers, 0)


# Each floor is just under what was measured; the issue asks for 0.70, 0.53 and 0.62.
@pytest.mark.parametrize(("method", "floor"), [(nnls, 0.74), (nnls_rescaled, 0.76)])
def test_starmap_with_another_section(method, floor, starmap_spots, section2_reference):
    spots, truth = starmap_spots
    found = estimate(method, spots, section2_reference)
    names = {"eL2_3": "ExcitatoryL2and3", "eL4": "ExcitatoryL4", "eL5": "ExcitatoryL5", "eL6": "ExcitatoryL6"}
    names |= {"Oligo": "Olig", "PVALB": "Pvalb", "SST": "Sst", "VIP": "Vip", "Reln": "Npy"}
    assert mean_pearson(found.rename(columns=names), truth) >= floor


@pytest.mark.parametrize(("method", "floor"), [(nnls, 0.54), (nnls_rescaled, 0.57)])
def test_starmap_with_another_platform(method, floor, starmap_spots, motor_cortex_reference):
    spots, truth = starmap_spots
    found = estimate(method, spots, motor_cortex_reference)
    assert found.shape[1] == 12
    assert mean_pearson(found, truth) >= floor


@pytest.mark.parametrize("method", [nnls, nnls_rescaled])
@pytest.mark.parametrize("section", ["A1", "C2", "D1"])
def test_her2st_with_another_patient(method, section, her2st_spots, breast_reference, as_stereoscope):
    spots, published = her2st_spots(section)
    found = as_stereoscope(estimate(method, spots, breast_reference))
    assert mean_pearson(found, published) >= 0.62


@pytest.mark.parametrize("method", [nnls, nnls_rescaled])
def test_recovers_a_known_mixture(method, toy_spots, toy_reference):
    spots, truth = toy_spots
    found = estimate(method, spots, toy_reference)
    assert np.abs(found[truth.columns] - truth).to_numpy().mean() < 0.05


def test_rescaling_finds_the_platform_effect(toy_spots, toy_reference):
    spots, truth = toy_spots
    signature = toy_reference.signatures.loc[spots.var_names].to_numpy()
    effect = np.exp(np.random.default_rng(2).normal(0, 1, spots.n_vars))
    counts = spots.layers["counts"].toarray() * effect
    factors = nnls_rescaled.platform_factors(counts, signature)
    assert np.corrcoef(np.log(factors), np.log(effect))[0, 1] > 0.9
    error = {
        "plain": np.abs(nnls.fit(counts, signature) - truth).to_numpy().mean(),
        "rescaled": np.abs(nnls.fit(counts, signature * factors[:, None]) - truth).to_numpy().mean(),
    }
    assert error["rescaled"] < error["plain"]


def test_file_to_file_keeps_the_contract(toy_spots, toy_reference, tmp_path):
    spots, _ = toy_spots
    spots = spots.copy()
    spots.layers["counts"][0] = 0
    spots.layers["counts"].eliminate_zeros()
    write_anndata(spots, tmp_path / "filtered.h5ad", FILTERED)
    files = toy_reference.files
    output = tmp_path / "proportions.parquet"
    deconvolve(
        "nnls", tmp_path / "filtered.h5ad", files["reference"], files["signatures"], files["markers"], output
    )
    table = read_table(output, PROPORTIONS)
    assert list(table.index) == list(spots.obs_names)
    # A spot without signal claims nothing.
    np.testing.assert_allclose(table.iloc[0], 0.25)
    made = table.attrs["tissuemake"]
    assert made["method"] == "nnls"
    assert made["spots_without_signal"] == 1
    assert made["seconds"] >= 0


def test_the_levels_of_the_reference_travel_with_the_shares(toy_spots, toy_reference, tmp_path):
    spots, _ = toy_spots
    write_anndata(spots, tmp_path / "filtered.h5ad", FILTERED)
    atlas = toy_reference.atlas.copy()
    kinds = {"type 0": "even", "type 1": "odd", "type 2": "even", "type 3": "odd"}
    atlas.uns["hierarchy"] = pd.DataFrame({"parity": kinds})
    write_anndata(atlas, tmp_path / "reference.h5ad", REFERENCE)
    files = [tmp_path / "reference.h5ad", *(toy_reference.files[name] for name in ("signatures", "markers"))]
    deconvolve("nnls", tmp_path / "filtered.h5ad", *files, tmp_path / "shares.parquet")
    table = read_table(tmp_path / "shares.parquet", PROPORTIONS)
    assert table.attrs["tissuemake"]["hierarchy"] == {"parity": kinds}
    np.testing.assert_allclose(coarser(table)["parity"]["odd"], table["type 1"] + table["type 3"])


@pytest.mark.parametrize("method", ["nnls", "nnls_rescaled"])
def test_a_table_of_aliases_finds_the_genes_of_private_names(method, toy_spots, toy_reference, tmp_path):
    spots, truth = toy_spots
    private = spots.copy()
    private.var_names = [f"PROBE{i}" for i in range(spots.n_vars)]
    write_anndata(private, tmp_path / "filtered.h5ad", FILTERED)
    pairs = pd.DataFrame({"alias": private.var_names, "symbol": spots.var_names})
    pairs.to_csv(tmp_path / "aliases.csv", index=False)
    files = [toy_reference.files[name] for name in ("reference", "signatures", "markers")]
    output = tmp_path / "shares.parquet"
    with pytest.raises(InputError, match="share 0 genes"):
        deconvolve(method, tmp_path / "filtered.h5ad", *files, output)
    deconvolve(method, tmp_path / "filtered.h5ad", *files, output, aliases=tmp_path / "aliases.csv")
    assert np.abs(read_table(output, PROPORTIONS) - truth).to_numpy().mean() < 0.05


def test_names_of_the_reference_never_make_two_genes_one():
    """By its id OLD is the reference's NEW; the sample's own NEW is another gene."""
    sample = pd.DataFrame({"gene_id": ["ENSG00000000001", ""]}, index=["OLD", "NEW"])
    reference = pd.DataFrame({"gene_id": ["ENSG00000000001"]}, index=["NEW"])
    assert list(names_of_reference(sample, reference, "")) == ["NEW", "NEW (other)"]


def test_shares_are_clean():
    shares, empty = to_shares(pd.DataFrame({"a": [np.nan, 2.0, -1.0], "b": [0.0, 2.0, 3.0]}))
    np.testing.assert_allclose(shares, [[0.5, 0.5], [0.5, 0.5], [0, 1]])
    assert empty == 1


def test_uncertainty_is_scaled_with_its_share():
    shares, _ = to_shares(pd.DataFrame({"a": [3.0], "b": [1.0], "a_sd": [0.8], "b_sd": [0.4]}))
    np.testing.assert_allclose(shares[["a", "a_sd", "b_sd"]], [[0.75, 0.2, 0.1]])


def test_no_shared_gene_is_an_error(toy_spots, toy_reference, make_spots):
    spots, _ = toy_spots
    stranger = make_spots(
        pd.DataFrame(
            spots.layers["counts"].toarray(),
            index=spots.obs_names,
            columns=[f"Other{i}" for i in range(spots.n_vars)],
        )
    )
    with pytest.raises(InputError, match="share 0 genes") as caught:
        estimate(nnls, stranger, toy_reference)
    assert caught.value.code == "no_shared_genes"


def test_unknown_method_names_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="nnls_rescaled"):
        deconvolve("nnsl", "a", "b", "c", "d", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    assert "nnls" in METHODS
