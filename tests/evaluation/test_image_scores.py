"""Tumour and genes read off the image: scored where the head did not see, beside what knows no image."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import average_precision_score, roc_auc_score

from tissuemake.contracts import (
    ANNOTATION,
    DOMAINS,
    EVALUATION,
    FILTERED,
    IMPUTED,
    TUMOR,
    read_table,
    write_anndata,
    write_table,
)
from tissuemake.evaluation.protocols import collect_evaluation, evaluate_sample

N, GENES = 80, 15


@pytest.fixture
def run(tmp_path):
    """A section whose left third is tumour; deep spots are high in every gene."""
    rng = np.random.default_rng(2)
    depth = rng.uniform(50, 1500, N)
    counts = sp.csr_matrix(rng.poisson(np.outer(depth, rng.dirichlet(np.ones(GENES)))).astype(np.float32))
    total = np.maximum(np.asarray(counts.sum(axis=1)), 1)
    spots = ad.AnnData(sp.csr_matrix(counts.multiply(1e4 / total)).log1p().tocsr(), layers={"counts": counts})
    spots.obs_names, spots.var_names = [f"s{i}" for i in range(N)], [f"GENE{i}" for i in range(GENES)]
    spots.var["gene_id"] = ""
    spots.obs["in_tissue"], spots.obs["total_counts"] = True, total.ravel()
    spots.obs["n_genes_by_counts"] = np.diff(counts.indptr)
    spots.obs["region"] = np.where(np.arange(N) < 27, "cancer", "stroma")
    spots.obs.loc[["s40", "s41"], "region"] = ["in situ", "unlabelled"]
    spots.obsm["spatial"] = np.stack([np.arange(N) % 10, np.arange(N) // 10], axis=1).astype(float)
    spots.uns = {"spatial": {}, "tissuemake": {"sample": "s"}, "dropped": pd.DataFrame()}
    write_anndata(spots, tmp_path / "filtered.h5ad", FILTERED)

    probability = np.where(spots.obs["region"] == "cancer", 0.7, 0.3) + rng.normal(0, 0.2, N)
    table = pd.DataFrame({"probability": probability.clip(0, 1), "seen": False}, index=spots.obs_names)
    table.loc[["s5", "s60"], "probability"] = np.nan
    write_table(table, tmp_path / "color.parquet", TUMOR, {"seconds": 0.5, "tumor_labels": ["cancer"]})
    table["seen"] = True
    write_table(table, tmp_path / "cheat.parquet", TUMOR, {"tumor_labels": ["cancer"]})
    write_table(table[["probability"]], tmp_path / "mute.parquet", TUMOR, {})

    for name, record, genes, r in (
        ("color", {"encoder": "color"}, slice(0, 10), 0.4),
        ("net", {"encoder": "net"}, slice(0, 10), 0.5),
        ("neighbors", {}, slice(8, 12), 0.3),
    ):
        predicted = ad.AnnData(
            spots.X.toarray() + rng.normal(0, 0.1, (N, GENES)), obs=spots.obs[[]], var=spots.var
        )
        predicted.var["held_out_r"] = predicted.var["held_out_r_depth_adjusted"] = np.nan
        predicted.var.iloc[genes, predicted.var.columns.get_loc("held_out_r")] = r
        predicted.var.iloc[genes, predicted.var.columns.get_loc("held_out_r_depth_adjusted")] = r / 2
        if record:
            predicted.X[:3] = np.nan
        predicted.uns["tissuemake"] = {"method": name, "seconds": 1.0, **record}
        write_anndata(predicted, tmp_path / f"{name}.h5ad", IMPUTED)
    domains = pd.DataFrame({"pca": np.where(np.arange(N) < 27, "1", "2")}, index=spots.obs_names)
    domains["color"] = domains["pca"].to_numpy()
    domains.loc[["s0", "s79"], "color"] = None
    write_table(domains, tmp_path / "domains.parquet", DOMAINS, {})
    return tmp_path


def evaluate(run, tumor=(), imputed=(), labels="obs:region", **options):
    evaluate_sample(
        "s",
        run / "filtered.h5ad",
        {},
        {name: run / f"{name}.h5ad" for name in imputed},
        run / "domains.parquet",
        None,
        "",
        labels,
        run / "evaluation.parquet",
        tumor={name: run / f"{name}.parquet" for name in tumor},
        **options,
    )
    return read_table(run / "evaluation.parquet", EVALUATION)


def value(table, method, metric, task="tumor", group=""):
    keys = {"task": task, "method": method, "metric": metric, "group": group}
    row = table.loc[np.logical_and.reduce([table[key] == wanted for key, wanted in keys.items()])]
    assert len(row) == 1, keys
    return row["value"].iloc[0]


def test_tumour_is_scored_on_spots_whose_label_the_head_did_not_see(run):
    table = evaluate(run, tumor=["color"], tumor_labels=["cancer"], ignored_labels=["in situ"])
    spots, found = ad.read_h5ad(run / "filtered.h5ad"), pd.read_parquet(run / "color.parquet")["probability"]
    asked = spots.obs_names.difference(["s5", "s60", "s40", "s41"])
    truth = spots.obs.loc[asked, "region"] == "cancer"
    assert value(table, "color", "auroc") == pytest.approx(roc_auc_score(truth, found[asked]))
    assert value(table, "color", "auprc") == pytest.approx(average_precision_score(truth, found[asked]))
    assert value(table, "color", "spots") == len(asked) == 76
    assert value(table, "color", "tumor_spots") == 26
    assert value(table, "prevalence", "auroc") == 0.5
    assert value(table, "prevalence", "auprc") == pytest.approx(26 / 76)
    depth = spots.obs.loc[asked, "total_counts"]
    assert value(table, "library_size", "auroc") == pytest.approx(roc_auc_score(truth, depth))
    part = table[table["task"] == "tumor"]
    assert set(part.loc[part["baseline"], "method"]) == {"prevalence", "library_size"}
    assert set(part.loc[part["method"] == "color", "seconds"]) == {0.5}


def test_a_head_that_saw_the_labels_is_not_scored_by_them(run, caplog):
    table = evaluate(run, tumor=["cheat", "mute"], tumor_labels=["cancer"])
    assert not (table["task"] == "tumor").any()
    assert "cheat" in caplog.text and "does not say what its head saw" in caplog.text


def test_without_labels_of_both_kinds_there_is_no_tumour_row(run):
    for labels, wanted in (("", ["cancer"]), ("obs:region", ["no such label"])):
        table = evaluate(run, tumor=["color"], labels=labels, tumor_labels=wanted)
        assert not (table["task"] == "tumor").any()


def test_the_labels_that_a_head_was_taught_stand_in_for_the_config(run):
    table = evaluate(run, tumor=["color"])
    assert value(table, "color", "tumor_spots") == 26
    assert value(table, "color", "spots") == 77  # "in situ" counts as none now


def test_genes_from_the_image_are_compared_among_themselves_beside_library_size(run):
    table = evaluate(run, imputed=["color", "net", "neighbors"])
    image = {"task": "imputation", "group": "image"}
    assert value(table, "color", "held_out_r", **image) == pytest.approx(0.4)
    assert value(table, "net", "held_out_r_depth_adjusted", **image) == pytest.approx(0.25)
    assert value(table, "net", "held_out_genes", **image) == 10
    spots = ad.read_h5ad(run / "filtered.h5ad")
    depth = np.log(spots.obs["total_counts"].to_numpy())
    each = [np.corrcoef(depth, spots.X[:, gene].toarray().ravel())[0, 1] for gene in range(10)]
    assert value(table, "library_size", "held_out_r", **image) == pytest.approx(np.median(each), abs=1e-5)
    assert value(table, "library_size", "held_out_r_depth_adjusted", **image) == 0
    assert 0.5 < value(table, "color", "agreement_with[net]", **image) <= 1
    own = table[(table["task"] == "imputation") & (table["group"] == "")]
    assert set(own["method"]) == {"neighbors", "depth", "gene_mean"}
    assert not own["metric"].str.startswith("agreement").any()


def test_each_column_of_domains_is_scored_on_the_spots_that_it_labelled(run):
    table = evaluate(run)
    for method, spots in (("pca", N - 1), ("color", N - 3)):
        assert value(table, method, "spots", task="domains") == spots
        assert value(table, method, "ari", task="domains") > 0.85
        assert value(table, method, "domains", task="domains") == 2
    assert {"kmeans", "permuted"} <= set(table.loc[table["task"] == "domains", "method"])
    assert value(table, "pca", "agreement_with[color]", task="domains") == 1


def test_tumour_is_gathered_over_samples_and_older_tables_still_are(run):
    evaluate(run, tumor=["color"], imputed=["color"])
    old = read_table(run / "evaluation.parquet", EVALUATION).drop(columns="group")
    old = old[old["task"] == "domains"].assign(sample="old")
    write_table(old, run / "old.parquet", EVALUATION)
    outputs = {task: run / f"{task}.parquet" for task in ("tumor", "domains", "imputation")}
    collect_evaluation([run / "evaluation.parquet", run / "old.parquet"], outputs)
    assert set(read_table(outputs["tumor"], EVALUATION)["method"]) == {"color", "prevalence", "library_size"}
    assert set(read_table(outputs["domains"], EVALUATION)["sample"]) == {"s", "old"}
    for path in outputs.values():
        assert set(read_table(path, EVALUATION)["group"]) <= {"", "image"}


def test_labels_learnt_elsewhere_are_a_task_with_what_they_cost(run):
    spots = pd.Index([f"s{i}" for i in range(N)])
    table = pd.DataFrame({"label": ["cancer"] * 30 + ["stroma"] * 50, "probability": 0.8}, index=spots)
    write_table(table, run / "sagefm.parquet", ANNOTATION, {"seconds": 0.7})
    scored = evaluate(run, annotation={"sagefm": run / "sagefm.parquet"}, ignored_labels=["in situ"])
    assert value(scored, "sagefm", "accuracy", "annotation") == pytest.approx(75 / 78)
    part = scored[scored["task"] == "annotation"]
    assert set(part.loc[part["baseline"], "method"]) == {"majority"}
    assert set(part.loc[~part["baseline"], "seconds"]) == {0.7}
    assert not (evaluate(run)["task"] == "annotation").any()
