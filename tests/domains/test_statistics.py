"""Spatial statistics: known patterns score as they should; nothing to compute gives empty tables."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tissuemake.contracts import DOMAINS, LIGAND_RECEPTOR, MORAN, NEIGHBORHOOD, read_table, write_table
from tissuemake.domains import statistics
from tissuemake.domains.ligand_receptor import ligand_receptor_scores, measured_pairs, moran_deviation
from tissuemake.domains.neighbors import contact_graph, microns
from tissuemake.domains.statistics import morans_i, neighborhood_enrichment, spatial_statistics
from tissuemake.errors import InputError

CONTRACTS = (MORAN, NEIGHBORHOOD, LIGAND_RECEPTOR)


def statistics_of(adata, written, tmp_path, labels=None, **options):
    labels = adata.obs[["zone"]].set_axis(["spatial"], axis=1) if labels is None else labels
    write_table(labels, tmp_path / "domains.parquet", DOMAINS)
    outputs = [tmp_path / f"{contract.name}.parquet" for contract in CONTRACTS]
    spatial_statistics(written(adata), tmp_path / "domains.parquet", *outputs, **options)
    return [read_table(path, contract) for path, contract in zip(outputs, CONTRACTS, strict=True)]


def test_the_three_tables_tell_what_the_tissue_was_made_with(zoned, written, tmp_path):
    moran, neighborhood, pairs = statistics_of(zoned(), written, tmp_path, n_genes=50)
    assert len(moran) == 50 and moran["I"].is_monotonic_decreasing
    assert set(moran.index[:4]) == {"CXCL12", "CXCR4", "TGFB1", "CD44"}
    assert moran.loc["CXCL12", "pval_norm_fdr"] < 1e-6
    scores = neighborhood.set_index(["domain_a", "domain_b"])["zscore"]
    assert scores["0", "0"] > 5 and scores["1", "1"] > 5 and scores["0", "1"] < -5
    assert neighborhood["count"].sum() == contact_graph(microns(zoned()), "square").nnz
    assert pairs.loc[0, ["ligand", "receptor"]].tolist() == ["CXCL12", "CXCR4"]
    assert pairs.loc[0, "pvalue_fdr"] < 1e-6 and 0.5 < pairs.loc[0, "score"] <= 1
    assert all(table.attrs["tissuemake"]["seconds"] >= 0 for table in (moran, neighborhood, pairs))


def test_morans_i_is_the_textbook_value(zoned):
    adata = zoned()
    graph = contact_graph(microns(adata), "square")
    table = morans_i(adata, graph, 10)
    weights = (graph.multiply(1 / graph.sum(axis=1))).toarray()
    for gene in table.index:
        z = adata[:, gene].X.toarray().ravel()
        z = z - z.mean()
        assert table.loc[gene, "I"] == pytest.approx(z @ weights @ z / (z @ z), abs=1e-4)


def test_of_too_many_domains_the_largest_are_set_side_by_side(zoned, monkeypatch):
    adata = zoned()
    graph = contact_graph(microns(adata), "square")
    labels = adata.obs["zone"].astype(str)
    before = neighborhood_enrichment(labels, graph, seed=0).set_index(["domain_a", "domain_b"])["count"]
    labels.iloc[::50] = [f"small{number}" for number in range(len(labels.iloc[::50]))]
    monkeypatch.setattr(statistics, "MOST_DOMAINS", 2)
    after = neighborhood_enrichment(labels, graph, seed=0).set_index(["domain_a", "domain_b"])["count"]
    assert after.index.equals(before.index)
    assert (after < before).all() and (after > 0.8 * before).all()


def test_neighborhood_enrichment_of_shuffled_labels_is_near_zero(zoned):
    adata = zoned()
    shuffled = adata.obs["zone"].sample(frac=1, random_state=0).set_axis(adata.obs_names)
    table = neighborhood_enrichment(shuffled, contact_graph(microns(adata), "square"), seed=0)
    assert table["zscore"].abs().max() < 3
    again = neighborhood_enrichment(shuffled, contact_graph(microns(adata), "square"), seed=0)
    pd.testing.assert_frame_equal(table, again)


def test_pairs_kept_apart_score_low_and_complexes_need_all_subunits(zoned):
    adata = zoned()
    names = adata.var_names.tolist()
    names[4:7] = ["ITGB1", "ITGA4", "VCAM1"]  # VCAM1 binds the complex ITGA4_ITGB1
    adata.var_names = names
    pairs = measured_pairs(adata)
    assert (pairs["receptor"] == "ITGA4_ITGB1").any()
    table = ligand_receptor_scores(adata, contact_graph(microns(adata), "square"))
    assert (table["receptor"] == "ITGA4_ITGB1").any()
    adata.var_names = [name.replace("ITGA4", "OTHER") for name in names]
    assert not measured_pairs(adata)["receptor"].str.contains("ITGA4").any()


def test_moran_of_a_pair_kept_apart_is_negative(zoned):
    adata = zoned()
    adata.var_names = [{"TGFB1": "SPP1"}.get(name, name) for name in adata.var_names]  # SPP1 binds CD44
    table = ligand_receptor_scores(adata, contact_graph(microns(adata), "square"))
    apart = table[(table["ligand"] == "SPP1") & (table["receptor"] == "CD44")].iloc[0]
    assert apart["morans_i"] < -0.1 and apart["pvalue"] > 0.99


def test_analytical_p_values_are_those_of_liana_and_blocks_change_nothing(zoned, monkeypatch):
    import liana
    import scipy.sparse as sp

    adata = zoned()
    contacts = contact_graph(microns(adata), "square")
    table = ligand_receptor_scores(adata, contacts)
    weights = sp.csr_matrix(contacts + sp.identity(adata.n_obs), dtype=np.float32)
    adata.obsp["spatial_connectivities"] = weights
    expected = liana.mt.bivariate(
        adata.copy(),
        local_name=None,
        global_name="morans",
        resource=measured_pairs(adata),
        complex_sep=None,
        n_perms=0,
        mask_negatives=True,
        use_raw=False,
    ).set_index(["ligand", "receptor"])
    found = table.set_index(["ligand", "receptor"])
    expected = expected.loc[found.index]
    np.testing.assert_allclose(found["morans_i"], expected["morans"], rtol=1e-4)
    np.testing.assert_allclose(
        norm.isf(found["pvalue"]), expected["morans"] / moran_deviation(weights), rtol=1e-4
    )
    np.testing.assert_allclose(found["pvalue"], expected["morans_pvals"], rtol=1e-2, atol=1e-12)
    monkeypatch.setattr("tissuemake.domains.ligand_receptor.VALUES_AT_ONCE", 1)
    pd.testing.assert_frame_equal(ligand_receptor_scores(adata, contacts), table, rtol=1e-5)


@pytest.mark.parametrize(("columns", "rows", "n_genes"), [(1, 1, 6), (2, 1, 6), (3, 1, 3), (6, 5, 27)])
def test_few_spots_or_genes_give_tables_with_the_right_columns(
    zoned, written, tmp_path, columns, rows, n_genes
):
    adata = zoned(columns=columns, rows=rows, n_genes=n_genes)
    for table, contract in zip(statistics_of(adata, written, tmp_path), CONTRACTS, strict=True):
        assert set(contract.columns) <= set(table.columns)
        numbers = table.select_dtypes("number")
        assert np.isfinite(numbers.drop(columns="var_norm", errors="ignore").to_numpy()).all()


def test_one_domain_and_no_known_pair_are_no_error(zoned, written, tmp_path):
    adata = zoned(observation="cell")
    adata.var_names = [f"Unknown{i}" for i in range(adata.n_vars)]
    one = pd.DataFrame({"spatial": "1"}, index=adata.obs_names)
    _, neighborhood, pairs = statistics_of(adata, written, tmp_path, labels=one, n_genes=5)
    assert neighborhood["zscore"].tolist() == [0.0]
    assert len(pairs) == 0


def test_mouse_symbols_use_the_mouse_resource(zoned):
    adata = zoned()
    adata.var_names = [name.capitalize() for name in adata.var_names]
    assert measured_pairs(adata).empty
    adata.uns["tissuemake"]["organism"] = "mouse"
    assert "Cxcl12" in set(measured_pairs(adata)["ligand"])


def test_domains_of_another_sample_are_refused(zoned, written, tmp_path):
    labels = pd.DataFrame({"spatial": ["1", "2"]}, index=["a", "b"])
    with pytest.raises(InputError, match=r"domains\.parquet"):
        statistics_of(zoned(), written, tmp_path, labels=labels)
