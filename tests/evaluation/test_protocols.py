"""A sample's files become a tidy table: scores beside baselines, and an error when a truth does not join."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake.contracts import (
    DOMAINS,
    EVALUATION,
    FILTERED,
    IMPUTED,
    PROPORTIONS,
    read_table,
    write_anndata,
    write_table,
)
from tissuemake.errors import InputError
from tissuemake.evaluation import scores
from tissuemake.evaluation.protocols import collect_evaluation, evaluate_sample
from tissuemake.evaluation.tables import level_of_truth, read_truth

N = 100


@pytest.fixture
def truth():
    """Three types over 100 spots; B cells on the left, stroma on the right."""
    rng = np.random.default_rng(0)
    left = (np.arange(N) % 10 < 5)[:, None]
    shares = np.where(left, [[0.8, 0.1, 0.1]], [[0.1, 0.2, 0.7]]) + rng.uniform(0, 0.1, (N, 3))
    shares /= shares.sum(axis=1, keepdims=True)
    return pd.DataFrame(shares, index=[f"s{i}" for i in range(N)], columns=["B-cells", "T cells", "stroma"])


@pytest.fixture
def run(truth, tmp_path):
    """The files of a sample: two compositions, one imputation, two kinds of domains."""
    rng = np.random.default_rng(1)
    counts = sp.csr_matrix(rng.poisson(truth.to_numpy() @ rng.gamma(2, 2, (3, 12))).astype(np.float32))
    index = np.arange(N)
    spots = ad.AnnData(counts.log1p().tocsr(), layers={"counts": counts})
    spots.obs_names, spots.var_names = truth.index, [f"GENE{i}" for i in range(12)]
    spots.var["gene_id"] = ""
    spots.obs["in_tissue"] = True
    spots.obs["total_counts"] = np.asarray(counts.sum(axis=1)).ravel()
    spots.obs["n_genes_by_counts"] = np.diff(counts.indptr)
    spots.obs["layer"] = np.where(index % 10 < 5, "left", "right")
    spots.obs.loc["s0", "layer"] = "unlabelled"
    spots.obsm["spatial"] = np.stack([index % 10, index // 10], axis=1).astype(float)
    spots.uns = {"spatial": {}, "tissuemake": {"sample": "toy"}, "dropped": pd.DataFrame()}
    write_anndata(spots, tmp_path / "filtered.h5ad", FILTERED)

    good = truth + rng.uniform(0, 0.05, truth.shape)
    for name, table in (("good", good), ("poor", truth * 0 + rng.uniform(0, 1, truth.shape))):
        table = table.div(table.sum(axis=1), axis=0).rename(columns={"B-cells": "B cells"})
        cost = {"method": name, "seconds": 1.5, "peak_memory_mb": 200.0}
        write_table(table, tmp_path / f"{name}.parquet", PROPORTIONS, cost)

    imputed = ad.AnnData(np.asarray(spots.X.toarray(), dtype=np.float32), obs=spots.obs[[]], var=spots.var)
    imputed.var["held_out_r"] = [0.5, 0.3, 0.1] + [np.nan] * 9
    imputed.var["held_out_r_depth_adjusted"] = [0.2, 0.1, 0.0] + [np.nan] * 9
    imputed.uns["tissuemake"] = {"method": "neighbors", "seconds": 2.0, "peak_memory_mb": 300.0}
    write_anndata(imputed, tmp_path / "neighbors.h5ad", IMPUTED)

    right = np.where(index % 10 < 5, "1", "2")
    domains = pd.DataFrame({"spatial": right, "pca": rng.permutation(right)}, index=truth.index)
    write_table(domains, tmp_path / "domains.parquet", DOMAINS, {"seconds": 3.0, "peak_memory_mb": 100.0})
    return tmp_path


def evaluate(run, truth="", labels="", **options):
    evaluate_sample(
        "toy",
        run / "filtered.h5ad",
        {name: run / f"{name}.parquet" for name in ("good", "poor")},
        {"neighbors": run / "neighbors.h5ad"},
        run / "domains.parquet",
        None,
        str(truth),
        labels,
        run / "evaluation.parquet",
        **options,
    )
    return read_table(run / "evaluation.parquet", EVALUATION)


def value(table, task, method, metric):
    row = table[(table["task"] == task) & (table["method"] == method) & (table["metric"] == metric)]
    assert len(row) == 1, (task, method, metric)
    return row["value"].iloc[0]


def test_truth_is_scored_beside_baselines(run, truth):
    truth.mul(9).to_csv(run / "truth.tsv", sep="\t", index_label="barcode")  # counts, not shares
    table = evaluate(run, run / "truth.tsv")
    good, poor = (value(table, "deconvolution", name, "pearson") for name in ("good", "poor"))
    assert good > 0.9 > 0.3 > poor
    assert value(table, "deconvolution", "good", "pearson[B cells]") > 0.9  # 'B-cells' in the truth
    for baseline in ("uniform", "mean_composition"):
        assert value(table, "deconvolution", baseline, "pearson") == 0
        assert value(table, "deconvolution", baseline, "rmse") > value(table, "deconvolution", "good", "rmse")
    assert value(table, "deconvolution", "good", "spots") == N
    mine = table[(table["task"] == "deconvolution") & (table["method"] == "good")]
    assert set(mine["seconds"]) == {1.5} and set(mine["peak_memory_mb"]) == {200.0}
    assert table.loc[table["method"] == "uniform", "baseline"].all()
    assert not mine["baseline"].any()


def test_a_type_the_method_lacks_counts_as_zero_and_is_said(run, truth, caplog):
    truth["Neuron"] = np.linspace(0, 1, N)
    truth.to_csv(run / "truth.csv", index_label="barcode")
    table = evaluate(run, run / "truth.csv")
    assert value(table, "deconvolution", "good", "pearson[Neuron]") == 0
    assert value(table, "deconvolution", "good", "pearson") == pytest.approx(
        value(table, "deconvolution", "good", "pearson_shared") * 3 / 4
    )
    assert "Neuron" in caplog.text


def with_hierarchy(run, name, hierarchy):
    table = read_table(run / f"{name}.parquet", PROPORTIONS)
    record = {**table.attrs["tissuemake"], "hierarchy": hierarchy}
    write_table(table, run / f"{name}.parquet", PROPORTIONS, record)


def test_a_truth_of_coarse_types_is_scored_at_their_level(run, truth):
    lineage = {"B cells": "lymphocyte", "T cells": "lymphocyte", "stroma": "connective"}
    hierarchy = {"all": dict.fromkeys(lineage, "cell"), "lineage": lineage}
    for name in ("good", "poor"):
        with_hierarchy(run, name, hierarchy)
    coarse = pd.DataFrame(
        {"Lymphocyte": truth["B-cells"] + truth["T cells"], "Connective": truth["stroma"]}, index=truth.index
    )
    coarse.to_csv(run / "truth.csv", index_label="barcode")
    table = evaluate(run, run / "truth.csv")
    assert value(table, "deconvolution", "good", "pearson[lymphocyte]") > 0.9
    assert "pearson[B cells]" not in set(table["metric"])
    assert table.attrs["tissuemake"]["levels"] == {"good": "lineage", "poor": "lineage"}
    # The baseline stands at the level of the truth too: two types, half each.
    half = np.sqrt(((coarse - 0.5) ** 2).mean(axis=1)).mean()
    assert value(table, "deconvolution", "uniform", "rmse") == pytest.approx(half)
    # How far methods agree is a matter of the types that they named, truth or not.
    agreement = ("deconvolution", "good", "agreement_with[poor]")
    assert value(table, *agreement) == value(evaluate(run), *agreement)


def test_a_truth_of_fine_types_is_scored_at_those_though_levels_know_some(run, truth):
    truth.to_csv(run / "truth.csv", index_label="barcode")
    before = evaluate(run, run / "truth.csv")
    with_hierarchy(run, "good", {"same": {"B cells": "B cells", "T cells": "T cells", "stroma": "stroma"}})
    with_hierarchy(run, "poor", {"lineage": {"B cells": "immune", "T cells": "immune", "stroma": "stroma"}})
    after = evaluate(run, run / "truth.csv")
    pd.testing.assert_frame_equal(before, after)
    assert "levels" not in after.attrs["tissuemake"]


def test_the_finest_level_that_knows_the_truth_is_chosen():
    table = pd.DataFrame({"CD4": [0.5], "CD8": [0.5], "unknown": [0.0]}, index=["s1"])
    whole = {"CD4": "T", "CD8": "T"}
    table.attrs["tissuemake"] = {"hierarchy": {"coarse": whole, "middle": dict(whole)}}
    assert level_of_truth(pd.DataFrame({"T": [1.0], "unknown": [0.0]}), table) == "middle"
    assert level_of_truth(pd.DataFrame({"neuron": [1.0]}), table) == ""


def test_unknown_is_left_out_of_the_types_and_scored_by_itself(run, truth):
    """The right half holds a type nobody knows: the method says so, and its types keep their scores."""
    share = np.where(np.arange(N) % 10 < 5, 0.0, 0.5)
    truth.mul(1 - share, axis=0).assign(Unknown=share).to_csv(run / "truth.csv", index_label="barcode")
    good = read_table(run / "good.parquet", PROPORTIONS)
    before = evaluate(run, run / "truth.csv")
    said = np.clip(share + np.random.default_rng(0).uniform(-0.1, 0.1, N), 0, 1)
    stated = good.mul(1 - said, axis=0).assign(unknown=said, unknown_sd=0.1, gate=1.0)
    write_table(stated, run / "good.parquet", PROPORTIONS, good.attrs["tissuemake"])
    after = evaluate(run, run / "truth.csv")
    for metric in ("pearson", "rmse", "jsd", "pearson[B cells]", "spots", "agreement_with[poor]"):
        assert value(after, "deconvolution", "good", metric) == pytest.approx(
            value(before, "deconvolution", "good", metric)
        )
    assert value(after, "deconvolution", "good", "unknown_auroc") == 1.0
    assert value(after, "deconvolution", "good", "unknown_pearson") > 0.9
    assert 0 < value(after, "deconvolution", "good", "unknown_rmse") < 0.1
    assert not before["metric"].str.startswith("unknown").any()
    assert not after["metric"].isin(["pearson[unknown]", "pearson[Unknown]", "pearson[gate]"]).any()


def test_a_spot_unknown_altogether_has_no_composition_to_score(run, truth):
    truth["unknown"] = 0.0
    truth.loc[["s0", "s1"]] = [0.0, 0.0, 0.0, 1.0]
    truth.to_csv(run / "truth.csv", index_label="barcode")
    assert value(evaluate(run, run / "truth.csv"), "deconvolution", "good", "spots") == N - 2


def test_without_truth_methods_are_compared(run):
    table = evaluate(run)
    deconvolution = table[table["task"] == "deconvolution"]
    assert set(deconvolution["metric"]) == {"agreement_with[poor]", "agreement_with[good]"}
    assert not {"ari", "nmi"} & set(table["metric"])


def test_imputation_stands_beside_depth_and_mean(run):
    table = evaluate(run)
    assert value(table, "imputation", "neighbors", "held_out_r") == pytest.approx(0.3)
    assert value(table, "imputation", "neighbors", "held_out_r_depth_adjusted") == pytest.approx(0.1)
    assert value(table, "imputation", "gene_mean", "held_out_r") == 0
    assert -1 < value(table, "imputation", "depth", "held_out_r") < 1


@pytest.mark.parametrize("where", ["obs:layer", "table"])
def test_domains_against_labels(run, where):
    if where == "table":
        labels = run / "labels.tsv"
        layer = pd.Series(np.where(np.arange(N) % 10 < 5, "left", "right"), index=[f"s{i}" for i in range(N)])
        layer["s0"] = "unlabelled"
        layer.rename("label").to_csv(labels, sep="\t", index_label="barcode")
        where = str(labels)
    table = evaluate(run, labels=where)
    assert value(table, "domains", "spatial", "ari") == 1
    assert abs(value(table, "domains", "permuted", "ari")) < 0.05
    assert abs(value(table, "domains", "pca", "ari")) < 0.1
    assert value(table, "domains", "kmeans", "ari") > value(table, "domains", "permuted", "ari")
    assert value(table, "domains", "spatial", "spots") == N - 1  # one is unlabelled
    assert value(table, "domains", "spatial", "neighbors_alike") > 0.8
    assert value(table, "domains", "permuted", "neighbors_alike") == pytest.approx(0.5, abs=0.05)


def test_labels_of_the_source_file(run):
    source = ad.read_h5ad(run / "filtered.h5ad")
    source.obs["region"] = source.obs["layer"]
    source.write_h5ad(run / "source.h5ad")
    table = evaluate(run, labels="obs:region", source_path=str(run / "source.h5ad"))
    assert value(table, "domains", "spatial", "ari") == 1


@pytest.mark.parametrize(
    ("write", "argument", "code", "says"),
    [
        ("barcode\tB\nother\t1\n", "truth", "truth_does_not_match", "other"),
        ("barcode\tB\ns1\tmany\n", "truth", "bad_truth", "'B'"),
        ("barcode\tlabel\nother\tx\n", "labels", "labels_does_not_match", "other"),
        ("barcode\tlayer\tsize\ns1\tx\t1\n", "labels", "missing_label_column", "layer, size"),
        (None, "truth", "unreadable_truth", "table.tsv"),
        (None, "obs", "missing_label_column", "obs:depth"),
    ],
)
def test_what_does_not_join_is_an_error(run, write, argument, code, says):
    path = run / "table.tsv"
    if write:
        path.write_text(write)
    cells = {"truth": {"truth": path}, "labels": {"labels": str(path)}, "obs": {"labels": "obs:depth"}}
    with pytest.raises(InputError) as caught:
        evaluate(run, **cells[argument])
    assert caught.value.code == code
    assert says in str(caught.value)
    assert not (run / "evaluation.parquet").exists()


def test_a_sample_without_reference(run):
    evaluate_sample("toy", run / "filtered.h5ad", {}, {}, None, None, "", "", run / "empty.parquet")
    assert read_table(run / "empty.parquet", EVALUATION).empty


def test_collecting_gathers_by_task(run, tmp_path):
    evaluate(run)
    evaluate_sample("none", run / "filtered.h5ad", {}, {}, None, None, "", "", run / "empty.parquet")
    tasks = ("deconvolution", "imputation", "domains", "histology")
    outputs = {task: tmp_path / f"{task}.parquet" for task in tasks}
    collect_evaluation([run / "evaluation.parquet", run / "empty.parquet"], outputs)
    tables = {task: read_table(path, EVALUATION) for task, path in outputs.items()}
    assert all(set(table["task"]) <= {task} for task, table in tables.items())
    assert len(tables["domains"]) and tables["histology"].empty
    assert list(tables["histology"].dtypes) == list(tables["domains"].dtypes)
    collect_evaluation([], outputs)
    assert read_table(outputs["domains"], EVALUATION).empty


def test_a_barcode_with_two_truths_has_none(tmp_path):
    table = tmp_path / "truth.tsv"
    table.write_text("barcode\tA\tB\ns1\t1\t2\ns1\t5\t5\n")
    with pytest.raises(InputError, match="'s1' stands more than once"):
        read_truth(table, pd.Index(["s1"]))
    table.write_text("barcode\tA\tB\ns1\t1\t3\ns1\t1\t3\n")
    assert read_truth(table, pd.Index(["s1"])).loc["s1"].tolist() == [0.25, 0.75]


def test_a_truth_without_any_cell_scores_nothing(tmp_path):
    table = tmp_path / "truth.tsv"
    table.write_text("barcode\tA\ns1\t0\n")
    found = pd.DataFrame({"A": [1.0]}, index=["s1"])
    assert scores.composition({"nnls": found}, read_truth(table, found.index)) == []
