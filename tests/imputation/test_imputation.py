"""Hidden genes are really hidden, predictions follow the tissue, and scores mean what they say."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import (
    FILTERED,
    IMPUTED,
    PROPORTIONS,
    REFERENCE,
    SIGNATURES,
    read_anndata,
    write_anndata,
    write_table,
)
from tissuemake.errors import InputError
from tissuemake.evaluation import held_out
from tissuemake.imputation import impute, neighbors, reference_based


def log_normal(counts):
    """log1p CP10k, as in a filtered sample."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    return (sp.diags(1e4 / depth) @ counts).log1p().tocsr().astype(np.float32)


@pytest.fixture
def files(spots, reference, profiles, composition, tmp_path):
    paths = {
        name: tmp_path / name for name in ("filtered.h5ad", "reference.h5ad", "sig.parquet", "prop.parquet")
    }
    write_anndata(spots, paths["filtered.h5ad"], FILTERED)
    write_anndata(reference, paths["reference.h5ad"], REFERENCE)
    write_table(profiles, paths["sig.parquet"], SIGNATURES)
    write_table(composition, paths["prop.parquet"], PROPORTIONS, {"method": "nnls"})
    return list(paths.values())


@pytest.mark.parametrize("method", ["reference", "neighbors"])
def test_file_to_file_keeps_the_contract(method, files, spots, tmp_path):
    output = tmp_path / "imputed.h5ad"
    impute(method, *files, output, seed=3, held_out_genes=20)
    imputed = read_anndata(output, IMPUTED)
    assert list(imputed.obs_names) == list(spots.obs_names)
    assert imputed.X.dtype == np.float32
    assert imputed.X.min() >= 0
    scored = imputed.var["held_out_r"].notna()
    assert scored.sum() == 20
    assert imputed.var.loc[scored, "measured"].all()
    assert imputed.var.loc[scored, "held_out_r"].median() > 0.3
    assert imputed.uns["tissuemake"]["method"] == method
    assert imputed.uns["tissuemake"]["n_held_out"] == 20


def test_unknown_shares_and_the_gate_change_no_prediction(files, composition, tmp_path):
    """What the reference does not contain has no profile: the known types stand for the whole spot."""
    expected, found = tmp_path / "plain.h5ad", tmp_path / "unknown.h5ad"
    impute("reference", *files, expected, held_out_genes=10)
    half = np.linspace(0, 0.9, len(composition))
    stated = composition.mul(1 - half, axis=0).assign(unknown=half, unknown_sd=0.1, gate=0.5)
    write_table(stated, files[3], PROPORTIONS, {"method": "sparank"})
    impute("reference", *files, found, held_out_genes=10)
    left, right = (read_anndata(path, IMPUTED) for path in (expected, found))
    np.testing.assert_allclose(left.X, right.X, rtol=1e-4)


def test_a_table_of_aliases_finds_the_genes_of_private_names(files, spots, tmp_path):
    private = spots.copy()
    private.var_names = [f"PROBE{i}" for i in range(spots.n_vars)]
    write_anndata(private, files[0], FILTERED)
    pairs = pd.DataFrame({"alias": private.var_names, "symbol": spots.var_names})
    pairs.to_csv(tmp_path / "aliases.csv", index=False)
    with pytest.raises(InputError, match="share 0 genes"):
        impute("reference", *files, tmp_path / "x.h5ad", held_out_genes=10)
    impute("reference", *files, tmp_path / "x.h5ad", held_out_genes=10, aliases=tmp_path / "aliases.csv")
    var = read_anndata(tmp_path / "x.h5ad", IMPUTED).var
    assert var["measured"].sum() == 70 and set(private.var_names) <= set(var.index)


def test_a_composition_of_other_types_is_refused_by_name(files, composition):
    write_table(composition.add_prefix("other "), files[3], PROPORTIONS)
    with pytest.raises(InputError) as caught:
        impute("reference", *files, files[3].with_name("x.h5ad"), held_out_genes=10)
    assert caught.value.code == "no_shared_types" and "other left" in caught.value.message


def test_all_methods_hide_the_same_genes(files, tmp_path):
    names = []
    for method in ("reference", "neighbors"):
        impute(method, *files, tmp_path / f"{method}.h5ad", held_out_genes=15)
        var = read_anndata(tmp_path / f"{method}.h5ad", IMPUTED).var
        names.append(set(var.index[var["held_out_r"].notna()]))
    assert names[0] == names[1]


def test_reference_predicts_genes_that_were_not_measured(spots, reference, profiles, composition):
    imputed = reference_based.predict(spots, reference, profiles, composition, np.array([3]))
    unmeasured = imputed[:, ~imputed.var["measured"].to_numpy()]
    assert list(unmeasured.var_names) == [f"GENE{i}" for i in range(70, 80)]
    along_x = np.corrcoef(unmeasured.X.mean(axis=1), composition["right"])[0, 1]
    assert along_x > 0.9
    # The level is the section's own CP10k, not the atlas's.
    shared = imputed[:, imputed.var["measured"].to_numpy()]
    assert np.expm1(shared.X).sum(axis=1).mean() == pytest.approx(1e4, rel=0.1)


def shuffle_gene(spots, gene):
    """The sample with one gene's values dealt anew over the spots."""
    shuffled = spots.copy()
    order = np.random.default_rng(0).permutation(spots.n_obs)
    expression, counts = shuffled.X.tolil(), shuffled.layers["counts"].tolil()
    expression[:, gene] = expression[order][:, gene]
    counts[:, gene] = counts[order][:, gene]
    shuffled.X, shuffled.layers["counts"] = expression.tocsr(), counts.tocsr()
    return shuffled


def test_neighbors_do_not_see_a_hidden_gene(spots):
    imputed = neighbors.predict(shuffle_gene(spots, 5), np.array([5]))
    # A leak would show as a positive correlation; means of the other folds alone give a slightly negative one.
    assert imputed.var.loc["GENE5", "held_out_r"] < 0.1


def test_reference_does_not_see_a_hidden_gene(spots, reference, profiles, composition, monkeypatch):
    """What is predicted for the gene is the same whatever the gene's counts are."""
    predictions = []
    score = reference_based.score
    monkeypatch.setattr(
        reference_based, "score", lambda *args: predictions.append(args[2].copy()) or score(*args)
    )
    for sample in (spots, shuffle_gene(spots, 5)):
        reference_based.predict(sample, reference, profiles, composition, np.array([5]))
    assert predictions[0].std() > 0
    np.testing.assert_array_equal(*predictions)


def test_depth_alone_is_no_merit(spots):
    """A prediction that is the library size scores, and scores nothing once depth is taken out."""
    counts = sp.csr_matrix(np.round(spots.layers["counts"].toarray() * 3))
    rng = np.random.default_rng(0)
    gene = rng.poisson(spots.obs["total_counts"].to_numpy() / 20)
    counts = counts.tolil()
    counts[:, 0] = gene[:, None]
    deep = spots.copy()
    deep.layers["counts"] = counts.tocsr()
    deep.X = sp.csr_matrix(np.log1p(counts.toarray()))  # not depth-normalised on purpose
    rest = np.asarray(deep.layers["counts"].sum(axis=1)).ravel() - gene
    scores = held_out.score(deep, np.array([0]), np.log1p(rest)[:, None])
    assert scores["held_out_r"].iloc[0] > 0.6
    assert abs(scores["held_out_r_depth_adjusted"].iloc[0]) < 1e-6


def test_rings_leave_the_spot_and_far_spots_out():
    positions = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [100, 0]], dtype=float)
    ring = neighbors.ring_means(positions, 2).toarray()
    np.testing.assert_allclose(ring.diagonal(), 0)
    np.testing.assert_allclose(ring[1], [0.5, 0, 0.5, 0, 0])
    np.testing.assert_allclose(ring[4], 0)  # an island has no neighbours


def test_one_spot_and_few_genes_do_not_break(spots):
    few = spots[:12, :3].copy()
    imputed = neighbors.predict(few, np.array([0, 1]))
    assert np.isfinite(imputed.X).all()


def test_a_part_of_many_spots_teaches_nearly_as_well_as_all(spots, monkeypatch):
    hidden = held_out.choose(spots, 10, 1)
    fitted = [neighbors.predict(spots, hidden).var["held_out_r"].median()]
    for most in (spots.n_obs // 2, 12):
        monkeypatch.setattr(neighbors, "SPOTS_TO_FIT", most)
        fitted.append(neighbors.predict(spots, hidden).var["held_out_r"].median())
    assert fitted[1] > fitted[0] - 0.1 and fitted[2] < fitted[1]


def test_scores_are_the_same_whatever_is_compared_at_once(spots, monkeypatch):
    hidden = held_out.choose(spots, 10, 1)
    predicted = np.random.default_rng(0).normal(spots.X[:, hidden].toarray(), 1.0)
    whole = held_out.score(spots, hidden, predicted)
    for most in (1, 3 * spots.n_obs):
        monkeypatch.setattr(held_out, "SCORED_AT_ONCE", most)
        pd.testing.assert_frame_equal(held_out.score(spots, hidden, predicted), whole)
    assert held_out.score(spots, hidden[:0], predicted[:, :0]).empty


def test_same_seed_same_result(spots):
    hidden = held_out.choose(spots, 10, 1)
    assert (hidden == held_out.choose(spots, 10, 1)).all()
    first, second = (neighbors.predict(spots, hidden, seed=1).X for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_reference_method_without_reference_says_so(files, tmp_path):
    with pytest.raises(InputError, match=r"samples\.tsv") as caught:
        impute("reference", files[0], None, None, None, tmp_path / "x.h5ad")
    assert caught.value.code == "missing_reference_files"


def test_genes_are_hidden_that_the_reference_lacks(spots, reference, profiles, composition):
    """They are just not scored."""
    part = reference[:, 10:].copy()
    imputed = reference_based.predict(spots, part, profiles.iloc[10:], composition, np.array([2, 30]))
    assert imputed.var["held_out_r"].dropna().index.tolist() == ["GENE30"]
    assert isinstance(imputed.var, pd.DataFrame)


def test_real_section_beats_depth(data_dir):
    """her2st C2: median over hidden genes 0.29, where library size alone gives 0.27: the adjusted score tells."""
    table = pd.read_csv(data_dir / "st_her2/counts/C2.tsv.gz", sep="\t", index_col=0)
    counts = sp.csr_matrix(table.to_numpy(np.float32))
    section = ad.AnnData(
        log_normal(counts),
        obs=pd.DataFrame(index=table.index),
        var=pd.DataFrame({"gene_id": ""}, index=table.columns),
        layers={"counts": counts},
    )
    section.obsm["spatial"] = np.array([name.split("x") for name in table.index], dtype=float)
    hidden = held_out.choose(section, 200, 0)
    scores = neighbors.predict(section, hidden).var
    depth = np.log1p(np.asarray(counts.sum(axis=1)) - counts[:, hidden].toarray())
    trivial = held_out.score(section, hidden, depth)["held_out_r"].median()
    print(f"neighbors {scores['held_out_r'].median():.3f}, depth {trivial:.3f}")
    assert scores["held_out_r"].median() > 0.25
    assert scores["held_out_r"].median() > trivial
    assert scores["held_out_r_depth_adjusted"].median() > 0.07


@pytest.mark.parametrize("method", ["reference", "neighbors"])
def test_of_many_spots_fewer_genes_are_written_and_the_hidden_ones_stay(method, files, tmp_path, monkeypatch):
    full, few = tmp_path / "full.h5ad", tmp_path / "few.h5ad"
    impute(method, *files, full, seed=3, held_out_genes=20)
    monkeypatch.setattr(held_out, "MOST_VALUES", 30 * 400)
    impute(method, *files, few, seed=3, held_out_genes=20)
    full, few = read_anndata(full, IMPUTED), read_anndata(few, IMPUTED)
    assert few.n_vars < full.n_vars
    # What is not written still helps to predict: the scores are the same.
    hidden = full.var_names[full.var["held_out_r"].notna()]
    assert few.var.loc[hidden, "held_out_r"].to_numpy() == pytest.approx(full.var.loc[hidden, "held_out_r"])
