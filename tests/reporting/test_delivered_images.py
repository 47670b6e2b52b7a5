"""What was read off the image is delivered where others look for it, with what its licences forbid."""

import zipfile

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from reporting.toy_images import CLOSED, NOT_FREE, OPEN, STEP_UM
from reporting.toy_tissue import SAMPLE
from tissuemake import files
from tissuemake.reporting.delivered_images import notices
from tissuemake.reporting.delivery import deliver_sample

NET = "net"


@pytest.fixture(scope="module")
def delivery(imaged, imaged_page, tmp_path_factory):
    output = tmp_path_factory.mktemp("delivery")
    deliver_sample(
        SAMPLE,
        filtered=imaged.filtered,
        proportions={},
        imputed={OPEN: imaged.imputed[OPEN], "neighbors": imaged.imputed["neighbors"]},
        domains=imaged.domains,
        report=imaged_page,
        check=imaged.check,
        row=imaged.row,
        config={},
        inputs=[],
        output=output,
        embeddings={OPEN: imaged.embeddings[OPEN], NET: imaged.embeddings[CLOSED]},
        tumor={OPEN: imaged.tumor[OPEN], NET: imaged.tumor[CLOSED]},
        highres=imaged.highres,
        models={"spafoundation": imaged.models["spafoundation"]},
    )
    return output


@pytest.fixture(scope="module")
def adata(delivery):
    return ad.read_h5ad(delivery / f"{SAMPLE}.h5ad")


def test_tumour_is_a_column_of_the_spots(adata, delivery, imaged):
    for encoder in (OPEN, NET):
        np.testing.assert_allclose(adata.obs[f"tumor_probability_{encoder}"], imaged.probability, atol=1e-6)
        table = pd.read_parquet(delivery / f"tumor_{encoder}.parquet")
        assert list(table.index) == imaged.barcodes
        assert table.attrs["tissuemake"]["tumor_labels"] == ["invasive <b>cancer</b>"]


def test_predictions_of_the_image_stand_apart_and_say_what_they_are(adata, imaged):
    table = adata.obsm[f"image_expression_{OPEN}"]
    assert table.shape == (60, 25)
    assert np.isnan(table[-2:]).all() and np.isfinite(table[:-2]).all()
    about = adata.uns["image_expression"][OPEN]
    assert "not measured" in about["what"]
    assert list(about["var"].index) == imaged.genes[:25]
    assert about["var"]["held_out_r"].iloc[0] == pytest.approx(0.6)
    assert about["tissuemake"]["encoder"] == OPEN
    assert "image_expression_neighbors" not in adata.obsm


def test_a_finer_map_plots_over_the_image_at_its_step(delivery):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import squidpy as sq

    fine = ad.read_h5ad(delivery / f"highres_{OPEN}.h5ad")
    scales = fine.uns["spatial"][SAMPLE]["scalefactors"]
    assert scales["spot_diameter_fullres"] * scales["microns_per_pixel"] == pytest.approx(STEP_UM)
    sq.pl.spatial_scatter(fine, color="GENE3")
    assert plt.gcf().axes[0].images
    plt.close("all")


def test_domains_of_the_image_are_delivered_with_their_gaps(adata, delivery, imaged, tmp_path):
    import spatialdata as sd

    columns = [f"domain_{OPEN}", f"domain_{OPEN}_and_expression"]
    for column in columns:
        assert adata.obs[column].isna().sum() == 2
    with zipfile.ZipFile(delivery / f"{SAMPLE}.spatialdata.zarr.zip") as archive:
        archive.extractall(tmp_path / "store.zarr")
    table = sd.read_zarr(tmp_path / "store.zarr").tables["table"]
    assert {*columns, f"tumor_probability_{NET}"} <= set(table.obs)
    np.testing.assert_allclose(table.obs[f"tumor_probability_{NET}"], imaged.probability, atol=1e-6)
    assert table.obsm[f"image_expression_{OPEN}"].shape == (60, 25)
    assert list(table.uns["image_expression"][OPEN]["var"].index) == imaged.genes[:25]
    hint = files.read_json(delivery / "manifest.json")["how_to_open"]["scanpy"]
    assert "domain_spatial" in hint


def test_manifest_flags_weights_that_forbid_commercial_use(delivery, imaged):
    manifest = files.read_json(delivery / "manifest.json")
    assert manifest["encoders"][NET]["licence"] == NOT_FREE
    assert manifest["encoders"][NET]["commercial_use"] is False
    assert manifest["encoders"][NET]["weights_sha256"] == "ab" * 32
    assert manifest["encoders"][OPEN]["commercial_use"] is None  # nobody said
    (notice,) = manifest["notices"]
    assert f"'{NET}'" in notice and NOT_FREE in notice
    assert manifest["models"]["spafoundation"]["facts"]["preset"] == "tiny"
    assert {"tumor/color", "tumor/net", "highres/color", "imputation/color"} <= set(manifest["steps"])
    outputs = {entry["path"] for entry in manifest["outputs"]}
    assert outputs == {path.name for path in delivery.iterdir()} - {"manifest.json"}
    between = {entry["sha256"] for entry in manifest["intermediate"]}
    assert {files.sha256(path) for path in (*imaged.embeddings.values(), *imaged.tumor.values())} <= between


def test_weights_that_are_free_need_no_notice():
    assert (
        notices(
            {"a": {"licence": "MIT", "commercial_use": True}, "b": {"licence": "", "commercial_use": None}}
        )
        == []
    )
