"""Xenium bundles: ids of any kind, tables in any dress, H&E through its alignment."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from tissuemake.contracts import INGESTED, check_anndata
from tissuemake.errors import InputError
from tissuemake.ingest import open_reader
from tissuemake.sheets import Sample

PX = 0.2125
# H&E pixel → morphology pixel: 0.5 µm pixels, mirrored and moved.
ALIGNMENT = np.array([[0.0, 0.5 / PX, 12.0], [0.5 / PX, 0.0, -7.0], [0.0, 0.0, 1.0]])


def row(path, **cells) -> Sample:
    return Sample("x1", "xenium", str(path), **cells)


def assert_read_right(adata, bundle) -> None:
    check_anndata(adata, INGESTED, "test")
    counts = bundle.counts()
    assert list(adata.obs_names) == list(counts.index)
    assert (adata.X.toarray() == counts[adata.var["gene_id"]].to_numpy()).all()
    assert adata.obsm["spatial"] == pytest.approx(bundle.um / PX)
    assert adata.uns["spatial"]["x1"]["scalefactors"]["microns_per_pixel"] == PX


KINDS = ["parquet", "csv", "csv.gz", "csv+index"]


@pytest.mark.parametrize(
    ("kind", "ids"),
    [*((kind, ids) for kind in KINDS for ids in ("str", "int")), ("parquet", "bytes")],  # csv holds no bytes
)
def test_ids_and_tables_of_any_kind(xenium, kind, ids):
    kinds = {"int": list(range(1, 41)), "bytes": [name.encode() for name in xenium.ids], "str": xenium.ids}
    xenium.kind, xenium.ids = kind, kinds[ids]
    assert_read_right(open_reader(row(xenium.write())).read(), xenium)


def test_controls_are_kept_apart(xenium):
    adata = open_reader(row(xenium.write())).read()
    kinds = ("negative_control_codeword", "negative_control_probe", "unassigned_codeword")
    assert sorted(adata.obsm) == sorted([*(f"features_{kind}" for kind in kinds), "spatial"])
    probes = adata.obsm["features_negative_control_probe"]["NegControlProbe_1"]
    assert (probes == xenium.counts()["NegControlProbe_1"]).all()


def test_matrix_as_mtx_folder(xenium):
    xenium.matrix = "mtx.gz"
    assert_read_right(open_reader(row(xenium.write())).read(), xenium)


def test_experiment_states_version_panel_and_organism(xenium):
    xenium.experiment = {
        "analysis_sw_version": "xenium-2.0.0.10",
        "panel_name": "Panel A",
        "panel_organism": "Mouse",
        "pixel_size": PX,
        "slide_id": "0002578",
        "run_start_time": "2022-12-03T02:39:21Z",
    }
    reader = open_reader(row(xenium.write()))
    assert (reader.slide, reader.run_start) == ("0002578", "2022-12-03T02:39:21Z")
    record = reader.read().uns["tissuemake"]
    assert record["software"] == "Xenium Onboard Analysis 2.0.0.10"
    assert (record["chemistry"], record["organism"]) == ("Panel A", "mouse")


@pytest.mark.parametrize("kind", ["parquet", "csv+index"])
def test_counts_from_transcripts_when_there_is_no_matrix(xenium, kind):
    xenium.kind, xenium.matrix = kind, ""
    xenium.write()
    xenium.write_table("transcripts", xenium.transcripts())
    adata = open_reader(row(xenium.root)).read()
    counts = xenium.counts().set_axis(xenium.features["name"], axis=1)
    assert adata.X.sum() == counts.iloc[:, :8].to_numpy().sum()
    assert (adata.to_df() == counts.loc[adata.obs_names, adata.var_names]).all(axis=None)
    assert adata.obsm["features_negative_control_probe"].to_numpy().sum() == counts["NegControlProbe_1"].sum()


def test_positions_from_outlines_when_there_is_no_cells_table(xenium):
    xenium.write()
    (xenium.root / "cells.parquet").unlink()
    corners = np.array([(-3, -1), (3, -1), (3, 1), (-3, 1)])
    outlines = pd.DataFrame(
        {
            "cell_id": np.repeat(xenium.ids, 5),
            "vertex_x": (xenium.um[:, [0]] + [*corners[:, 0], -3]).ravel(),
            "vertex_y": (xenium.um[:, [1]] + [*corners[:, 1], -1]).ravel(),
        }
    )
    xenium.write_table("cell_boundaries", outlines)
    assert_read_right(open_reader(row(xenium.root)).read(), xenium)


def _with_he(xenium, tmp_path, matrix=ALIGNMENT):
    xenium.write()
    image, alignment = tmp_path / "he.png", tmp_path / "he_imagealignment.csv"
    Image.fromarray(np.full((220, 230, 3), 200, np.uint8)).save(image)
    pd.DataFrame(matrix).to_csv(alignment, header=False, index=False)
    return row(xenium.root, image=str(image), alignment=str(alignment))


def test_alignment_brings_cells_to_the_he(xenium, tmp_path):
    reader = open_reader(_with_he(xenium, tmp_path))
    adata = reader.read()
    he = np.column_stack([adata.obsm["spatial"], np.ones(len(xenium.um))])
    back = he @ ALIGNMENT.T
    assert back[:, :2] == pytest.approx(xenium.um / PX)
    assert adata.uns["spatial"]["x1"]["scalefactors"]["microns_per_pixel"] == pytest.approx(0.5)
    assert reader.image_size() == (230, 220)
    assert adata.uns["spatial"]["x1"]["metadata"]["stain"] == "H&E"


def test_alignment_beside_the_image_is_found(xenium, tmp_path):
    given = _with_he(xenium, tmp_path)
    found = open_reader(Sample(**{**given.as_dict(), "alignment": ""}))
    assert found.alignment_path == tmp_path / "he_imagealignment.csv"


def test_image_without_alignment_is_refused(xenium, tmp_path):
    given = _with_he(xenium, tmp_path)
    (tmp_path / "he_imagealignment.csv").unlink()
    with pytest.raises(InputError) as caught:
        open_reader(Sample(**{**given.as_dict(), "alignment": ""}))
    assert caught.value.code == "missing_alignment"


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.array([[1.0, 2, 0], [2, 4, 0], [0, 0, 1]]), "determinant 0"),
        (np.eye(2), r"shape \(2, 2\)"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [3, 0, 1]]), "last row"),
        (np.array([[1.0, 0, 0], [0, 9, 0], [0, 0, 1]]), "stretches"),
        (np.array([[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]]), "numbers|shape"),
    ],
)
def test_implausible_alignment_is_refused(xenium, tmp_path, matrix, says):
    with pytest.raises(InputError, match=says) as caught:
        open_reader(_with_he(xenium, tmp_path, matrix))
    assert caught.value.code == "bad_alignment"


@pytest.mark.parametrize("name", ["morphology_focus.ome.tif", "morphology_focus/ch0000_dapi.ome.tif"])
def test_morphology_image_is_shown_under_its_cells(xenium, name):
    path = xenium.write() / name
    path.parent.mkdir(exist_ok=True)
    dapi = np.zeros((480, 480), np.uint16)
    dapi[100:200, 300:400] = 9000
    tifffile.imwrite(path, dapi)
    spatial = open_reader(row(xenium.root)).read().uns["spatial"]["x1"]
    hires = spatial["images"]["hires"]
    assert hires.shape == (480, 480, 3)
    assert hires.dtype == np.uint8
    assert hires[150, 350].min() > 200 > 50 > hires[300, 100].max()
    assert spatial["scalefactors"]["tissue_hires_scalef"] == 1.0
    assert spatial["metadata"] == {"source_image_path": "", "stain": "fluorescence"}


def test_cropped_morphology_is_not_shown(xenium):
    tifffile.imwrite(xenium.write() / "morphology_focus.ome.tif", np.ones((60, 60), np.uint16))
    reader = open_reader(row(xenium.root))
    assert reader.read().uns["spatial"]["x1"]["images"] == {}
    assert [note["code"] for note in reader.notes] == ["morphology_does_not_cover_cells"]


def test_no_bundle_and_several(xenium, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        open_reader(row(tmp_path / "empty"))
    assert caught.value.code == "unknown_layout"
    for name in ("a", "b"):
        xenium.root = tmp_path / "both" / name
        xenium.write()
    with pytest.raises(InputError, match="a, b"):
        open_reader(row(tmp_path / "both"))


def test_cut_tables_are_named(xenium):
    path = xenium.write() / "cells.parquet"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"cells.parquet") as caught:
        open_reader(row(xenium.root)).read()
    assert caught.value.code == "unreadable_table"
