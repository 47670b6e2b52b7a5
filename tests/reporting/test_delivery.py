"""A delivery opens in other people's tools, and its manifest tells the truth."""

import zipfile

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from reporting.toy_tissue import LEVEL, LINEAGES, SAMPLE, TYPES, Toy
from tissuemake import contracts, files
from tissuemake.reporting.delivered_tables import safe_names
from tissuemake.reporting.delivery import deliver_sample


def deliver(toy: Toy, report, output):
    deliver_sample(
        SAMPLE,
        ingested=toy.ingested,
        filtered=toy.filtered,
        proportions=toy.proportions,
        imputed=toy.imputed,
        domains=toy.domains,
        attributions=toy.attributions,
        models=toy.models,
        report=report,
        check=toy.check,
        row=toy.row,
        inputs=[toy.check, toy.folder / "statistics", toy.check],
        config={"seed": 1},
        output=output,
    )
    return output


@pytest.fixture(scope="module")
def delivery(toy, toy_page, tmp_path_factory):
    return deliver(toy, toy_page, tmp_path_factory.mktemp("delivery"))


def test_manifest_vouches_for_every_file(delivery, toy):
    manifest = files.read_json(delivery / "manifest.json")
    outputs = {entry["path"]: entry["sha256"] for entry in manifest["outputs"]}
    there = {path.name for path in delivery.iterdir()} - {"manifest.json"}
    assert set(outputs) == there
    assert all(files.sha256(delivery / name) == digest for name, digest in outputs.items())
    assert {entry["sha256"] for entry in manifest["inputs"]} >= {files.sha256(toy.check)}
    assert len(manifest["inputs"]) == 4
    assert manifest["devices"] == ["cpu", "cpu (2 threads)"]
    assert manifest["seeds"]["deconvolution/nnls"] == 1
    assert manifest["config"] == {"seed": 1}


def test_manifest_names_the_model_and_its_weights(delivery, toy):
    model = files.read_json(delivery / "manifest.json")["models"]["sparank"]
    assert model["weights_sha256"] == files.sha256(toy.model / "model.safetensors")
    assert model["folder"] == str(toy.model)
    assert model["facts"]["preset"] == "tiny"
    assert model["card"]["Where it fails"] == ["Types that the atlas lacks.", "Depth below 300 counts."]
    spoke = pd.read_parquet(delivery / "attributions_sparank.parquet")
    assert set(spoke["cell_type"]) == set(TYPES)


def test_coarser_levels_are_delivered_and_the_manifest_says_what_they_sum(delivery, toy):
    levels = files.read_json(delivery / "manifest.json")["levels"]
    assert set(levels) == {path.name for path in delivery.glob("proportions_*.parquet")}
    assert {entry["method"] for entry in levels.values()} == set(toy.proportions)
    name = "proportions_sparank.lineage_i_of_cells_i_.parquet"
    assert levels[name]["level"] == LEVEL
    rolled = contracts.read_table(delivery / name, contracts.PROPORTIONS)
    fine = contracts.read_table(toy.proportions["sparank"], contracts.PROPORTIONS)
    assert {*levels[name]["types"], "unknown"} == set(contracts.type_columns(rolled))
    for lineage, types in levels[name]["types"].items():
        assert types == [kind for kind in TYPES if LINEAGES[kind] == lineage]
        np.testing.assert_allclose(rolled[lineage], fine[types].sum(axis=1))
    assert rolled.attrs["tissuemake"]["level"] == LEVEL


def test_h5ad_carries_what_a_method_says_of_itself(delivery):
    adata = ad.read_h5ad(delivery / f"{SAMPLE}.h5ad")
    table = adata.obsm["proportions_sparank"]
    types = [name.replace("/", "|") for name in TYPES]
    assert {*types, "unknown", "gate", *(f"{name}_sd" for name in types)} <= set(table)
    np.testing.assert_allclose(table[[*types, "unknown"]].sum(axis=1), 1, atol=1e-6)
    assert set(adata.obs["dominant_type_sparank"]) <= {*types, "unknown"}


def test_h5ad_carries_types_domains_and_plots_over_its_image(delivery):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy as sc
    import squidpy as sq

    adata = ad.read_h5ad(delivery / f"{SAMPLE}.h5ad")
    table = adata.obsm["proportions_nnls"]
    assert list(table.columns) == [name.replace("/", "|") for name in TYPES]
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
    assert adata.obs["dominant_type_nnls"].isin(table.columns).all()
    sq.pl.spatial_scatter(adata, color=["domain_spatial", "GENE1"])
    assert plt.gcf().axes[0].images  # the tissue lies under the spots
    plt.close("all")
    axes = sc.pl.spatial(adata, color="dominant_type_nnls", show=False)
    assert axes[0].images
    sq.pl.spatial_scatter(ad.read_h5ad(delivery / "imputed_reference.h5ad"), color="HIDDEN1")
    plt.close("all")


def test_spatialdata_reads_back(delivery, toy, tmp_path):
    import spatialdata as sd
    from spatialdata.transformations import get_transformation

    with zipfile.ZipFile(delivery / f"{SAMPLE}.spatialdata.zarr.zip") as archive:
        archive.extractall(tmp_path / "store.zarr")
    data = sd.read_zarr(tmp_path / "store.zarr")
    assert set(data.coordinate_systems) == {"global", "microns"}
    spots = sd.transform(data.shapes["spots"], to_coordinate_system="microns")
    np.testing.assert_allclose(spots.geometry.x, toy.xy[:, 0] * 0.625)
    np.testing.assert_allclose(spots["radius"], 27.5)
    width = data.images["image"].sizes["x"]
    scale = get_transformation(data.images["image"], "global").to_affine_matrix(("x", "y"), ("x", "y"))
    assert abs(width * scale[0, 0] - toy.side[0]) < 8
    table = data.tables["table"]
    joined, _ = sd.join_spatialelement_table(sdata=data, spatial_element_names="spots", table_name="table")
    assert list(joined["spots"].index) == list(table.obs_names)


def test_without_image_bins_are_squares(tmp_path, toy_page):
    toy = Toy(tmp_path / "toy", image=False, observation="bin")
    output = deliver(toy, toy_page, tmp_path / "out")
    import scanpy as sc
    import spatialdata as sd

    with zipfile.ZipFile(output / f"{SAMPLE}.spatialdata.zarr.zip") as archive:
        archive.extractall(tmp_path / "store.zarr")
    bins = sd.read_zarr(tmp_path / "store.zarr").shapes["bins"]
    assert set(bins.geom_type) == {"Polygon"}
    np.testing.assert_allclose(bins.area, 88.0**2)
    hint = files.read_json(output / "manifest.json")["how_to_open"]["scanpy"]
    assert "img_key=None" in hint
    adata = sc.read_h5ad(output / f"{SAMPLE}.h5ad")
    assert sc.pl.spatial(adata, color="domain_spatial", img_key=None, show=False)


def test_same_inputs_give_the_same_bytes(delivery, toy, toy_page, tmp_path):
    again = deliver(toy, toy_page, tmp_path / "again")
    for path in delivery.iterdir():
        if path.name != "manifest.json":
            assert files.sha256(path) == files.sha256(again / path.name), path.name


def test_an_unfinished_delivery_has_no_manifest(toy, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(FileNotFoundError):
        deliver(toy, tmp_path / "no-report.html", tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert not list(tmp_path.glob(".*partial*"))


def test_what_a_killed_or_older_run_left_is_gone(toy, toy_page, tmp_path):
    left = tmp_path / f".{SAMPLE}.partial.zarr" / "half"
    left.mkdir(parents=True)
    for name in ("imputed_gone.h5ad", "attributions_gone.parquet", "proportions_gone.lineage.parquet"):
        (tmp_path / name).write_text("of a method no longer asked for")
    deliver(toy, toy_page, tmp_path)
    listed = {entry["path"] for entry in files.read_json(tmp_path / "manifest.json")["outputs"]}
    assert {path.name for path in tmp_path.iterdir()} == {*listed, "manifest.json"}


def test_safe_names_stay_unique():
    assert safe_names(["T/NK", "T|NK", "B"]) == ["T|NK", "T|NK'", "B"]
