"""What the filter drops, and that it says why."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake import contracts
from tissuemake.configuration import complete_config
from tissuemake.errors import InputError
from tissuemake.quality.filter import filter_spots
from tissuemake.quality.metrics import control_counts
from tissuemake.quality.outliers import local_scores
from tissuemake.quality.thresholds import decide, floors


def lattice(side=12, pitch=100.0):
    rows, cols = np.divmod(np.arange(side * side), side)
    return np.column_stack([(cols + 0.5 * (rows % 2)) * pitch, rows * pitch * np.sqrt(3) / 2]) + pitch


def section(observation="spot", side=12, n_genes=400, depth=3000.0, seed=0):
    """A lattice of spots with even depth; 5 % mitochondrial counts in two genes."""
    rng = np.random.default_rng(seed)
    xy = lattice(side)
    share = rng.gamma(0.5, size=n_genes)
    share[:2] = 0.025 * share.sum()
    counts = rng.poisson(depth * share / share.sum(), size=(len(xy), n_genes)).astype(np.float32)
    names = ["MT-ND1", "MT-ND2", *[f"GENE{i}" for i in range(2, n_genes)]]
    adata = ad.AnnData(
        sp.csr_matrix(counts),
        obs=pd.DataFrame({"in_tissue": True}, index=[f"bc{i}" for i in range(len(xy))]),
        var=pd.DataFrame({"gene_id": ""}, index=names),
        obsm={"spatial": xy},
    )
    picture = np.full((140, 160, 3), 200, dtype=np.uint8)
    scales = {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 55.0, "microns_per_pixel": 1.0}
    adata.uns["spatial"] = {"s1": {"images": {"hires": picture}, "scalefactors": scales, "metadata": {}}}
    about = {"sample": "s1", "observation": observation, "pitch_um": 100.0, "spot_diameter_um": 55.0}
    adata.uns["tissuemake"] = about
    return adata


def scale_counts(adata, spot, factor):
    dense = adata.X.toarray()
    dense[spot] = np.floor(dense[spot] * factor)
    adata.X = sp.csr_matrix(dense)


def run(adata, tmp_path, figure=None, **overrides):
    source, output = tmp_path / "ingested.h5ad", tmp_path / "filtered.h5ad"
    adata.write_h5ad(source)
    filter_spots(source, output, figure, overrides=overrides)
    return contracts.read_anndata(output, contracts.FILTERED)


def test_an_even_section_loses_nothing_and_is_normalised(tmp_path):
    kept = run(section(), tmp_path)
    assert kept.n_obs == 144
    assert len(kept.uns["dropped"]) == 0
    np.testing.assert_allclose(np.expm1(kept.X.toarray()).sum(1), 1e4, rtol=1e-4)
    assert kept.layers["counts"].dtype == np.float32


def test_every_dropped_spot_has_its_reason(tmp_path):
    adata = section()
    adata.obs.iloc[0, 0] = False
    scale_counts(adata, 70, 0.001)  # nearly nothing
    scale_counts(adata, 40, 0.3)  # usable alone, but unlike its neighbours
    dense = adata.X.toarray()
    dense[100, :2] += 3000  # a dying spot
    adata.X = sp.csr_matrix(dense)
    kept = run(adata, tmp_path, tmp_path / "quality.png")
    reasons = kept.uns["dropped"]["reason"]
    assert set(reasons.index) == {"bc0", "bc70", "bc40", "bc100"}
    assert reasons["bc0"] == "off tissue"
    assert reasons["bc70"].startswith("few counts; few genes")
    assert reasons["bc40"] == "unlike its neighbours"
    assert "high mitochondrial share" in reasons["bc100"]
    assert (tmp_path / "quality.png").stat().st_size > 10_000


def test_a_smooth_gradient_is_biology_not_outliers():
    adata = section()
    depth = np.linspace(500, 5000, 144)
    obs = pd.DataFrame({"total_counts": depth, "n_genes_by_counts": depth / 3}, index=adata.obs_names)
    assert (local_scores(obs, adata.obsm["spatial"]) < 3).all(axis=None)


def test_overrides_win_and_say_so(tmp_path):
    kept = run(section(), tmp_path, min_counts=2900, local_outlier_mads=0)
    assert kept.obs["total_counts"].min() >= 2900
    assert kept.uns["quality"]["min_counts"]["source"] == "config"
    assert "local_outlier_mads" not in kept.uns["quality"]


def test_the_configs_keys_reach_the_filter_and_null_is_the_robust_default(tmp_path):
    default = run(section(), tmp_path, **complete_config({})["filter"])
    assert "config" not in {found["source"] for found in default.uns["quality"].values()}
    assert "local_outlier_mads" in default.uns["quality"] and "max_counts" not in default.uns["quality"]
    given = complete_config({"filter": {"max_counts": 3000, "local_outlier_mads": 0}})["filter"]
    kept = run(section(), tmp_path, tmp_path / "quality.png", **given)
    assert kept.obs["total_counts"].max() <= 3000 < default.obs["total_counts"].max()
    assert set(kept.uns["dropped"]["reason"]) == {"many counts"}
    assert "local_outlier_mads" not in kept.uns["quality"]


@pytest.mark.parametrize(
    ("overrides", "code"),
    [({"min_count": 5}, "unknown_threshold"), ({"min_counts": "many"}, "bad_threshold")],
)
def test_a_mistyped_override_is_refused(tmp_path, overrides, code):
    with pytest.raises(InputError) as caught:
        run(section(), tmp_path, **overrides)
    assert caught.value.code == code and "min_count" in caught.value.message


def test_no_spot_left_names_thresholds_and_medians(tmp_path):
    with pytest.raises(InputError) as caught:
        run(section(), tmp_path, min_counts=1e6)
    assert caught.value.code == "no_spot_left"
    assert all(word in caught.value.message for word in ("s1", "min_counts 1e+06", "median 3", "144"))
    assert not (tmp_path / "filtered.h5ad").exists()


def test_genes_without_counts_leave_and_are_counted(tmp_path):
    adata = section()
    dense = adata.X.toarray()
    dense[:, -3:] = 0
    adata.X = sp.csr_matrix(dense)
    silent = int((dense.sum(0) == 0).sum())
    kept = run(adata, tmp_path)
    assert kept.uns["tissuemake"]["filter"]["n_genes_without_counts"] == silent >= 3
    assert kept.n_vars == 400 - silent


def test_control_probes_count_as_controls_and_antibodies_do_not(tmp_path):
    adata = section("cell", depth=60)
    names = adata.obs_names
    control = pd.DataFrame({"neg1": np.where(np.arange(144) == 5, 40.0, 0.0)}, index=names)
    adata.obsm["features_negative_control_probe"] = control
    adata.obsm["features_antibody_capture"] = pd.DataFrame({"CD3": np.ones(144)}, index=names)
    assert control_counts(adata).sum() == 40
    kept = run(adata, tmp_path)
    assert kept.uns["dropped"]["reason"].to_dict() == {"bc5": "high control share"}
    assert not any(column.startswith("local_outlier") for column in kept.obs)


def test_without_mitochondrial_genes_there_is_no_share(tmp_path):
    adata = section()
    adata.var_names = [f"GENE{i}" for i in range(adata.n_vars)]
    kept = run(adata, tmp_path)
    assert "pct_counts_mt" not in kept.obs and "max_pct_mt" not in kept.uns["quality"]


def test_floors_follow_panel_area_and_observation():
    assert floors("spot", 30_000, 100)["min_counts"] == 200
    assert floors("spot", 100, 100)["min_counts"] == 10
    assert floors("cell", 300, 0) == {"min_counts": 10, "min_genes": 3}
    assert floors("bin", 18_000, 16)["min_counts"] == 4 * floors("bin", 18_000, 8)["min_counts"]
    assert floors("spot", 5, 100)["min_genes"] == 1


def test_deep_sequencing_does_not_make_usable_spots_bad():
    depth = np.random.default_rng(0).normal(20_000, 100, 500)
    obs = pd.DataFrame({"total_counts": depth, "n_genes_by_counts": depth / 4})
    assert decide(obs, floors("spot", 30_000, 100), None)["min_counts"].value == 1000
