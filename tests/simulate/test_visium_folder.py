"""Space Ranger's Visium folder: public readers open it and its tables agree."""

import numpy as np
import openslide
import pytest
import scanpy as sc
from PIL import Image

from simulate.tables import positions
from tissuemake.files import read_json


def test_visium_matrix_reads_the_same_from_h5_and_mtx(tissue):
    outs = tissue / "visium/outs"
    for name in ("filtered", "raw"):
        packed = sc.read_10x_h5(outs / f"{name}_feature_bc_matrix.h5")
        loose = sc.read_10x_mtx(outs / f"{name}_feature_bc_matrix")
        assert (packed.obs_names == loose.obs_names).all() and (packed.var_names == loose.var_names).all()
        assert (packed.X != loose.X).nnz == 0


def test_visium_raw_holds_the_array_and_filtered_the_tissue(tissue):
    outs = tissue / "visium/outs"
    where = positions(tissue)
    raw = sc.read_10x_h5(outs / "raw_feature_bc_matrix.h5")
    filtered = sc.read_10x_h5(outs / "filtered_feature_bc_matrix.h5")
    assert set(raw.obs_names) == set(where.index)
    assert set(filtered.obs_names) == set(where.index[where["in_tissue"] == 1])
    assert 45 <= filtered.n_obs <= 75 and raw.n_obs > filtered.n_obs
    glass = raw[where.loc[raw.obs_names, "in_tissue"].to_numpy() == 0]
    stray, caught = (np.median(np.asarray(part.X.sum(axis=1))) for part in (glass, filtered))
    assert stray < 0.1 * caught


def test_visium_lattice_is_hexagonal_with_100_um_pitch(tissue):
    where = positions(tissue)
    assert ((where["array_row"] + where["array_col"]) % 2 == 0).all()
    assert where.index.str.fullmatch(r"[ACGT]{16}-1").all() and where.index.is_unique
    xy = where[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * 0.5
    away = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(away, np.inf)
    assert away.min(axis=1) == pytest.approx(100, abs=1.0)
    scales = read_json(tissue / "visium/outs/spatial/scalefactors_json.json")
    assert scales["spot_diameter_fullres"] * 0.5 == pytest.approx(55)


def test_visium_previews_have_their_scale_factors(tissue):
    folder = tissue / "visium/outs/spatial"
    scales = read_json(folder / "scalefactors_json.json")
    with openslide.OpenSlide(tissue / "visium/tissue_image.tif") as slide:
        width = slide.dimensions[0]
    for name, longest in (("hires", 2000), ("lowres", 600)):
        with Image.open(folder / f"tissue_{name}_image.png") as image:
            assert max(image.size) <= longest
            assert image.width == pytest.approx(scales[f"tissue_{name}_scalef"] * width, abs=1)


@pytest.mark.parametrize("folder", ["visium", "visium_hd"])
def test_slides_open_with_their_pixel_size_and_levels(tissue, folder):
    with openslide.OpenSlide(tissue / folder / "tissue_image.tif") as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert slide.level_count >= 3
        assert slide.level_downsamples[1] == pytest.approx(2, abs=0.01)
        corner = np.asarray(slide.read_region((0, 0), 0, (32, 32)).convert("RGB"))
    assert corner.min() > 225, "the corner of the glass is white"


def test_visium_opens_in_spatialdata_io_and_squidpy(tissue):
    import squidpy as sq
    from spatialdata_io import visium

    opened = visium(
        tissue / "visium/outs", dataset_id="s", fullres_image_file=tissue / "visium/tissue_image.tif"
    )
    assert {"s_hires_image", "s_lowres_image", "s_full_image"} == set(opened.images)
    plain = sq.read.visium(tissue / "visium/outs", load_images=True)
    np.testing.assert_array_equal(
        plain.obsm["spatial"], positions(tissue).loc[plain.obs_names].iloc[:, [4, 3]].to_numpy()
    )
    assert plain.n_obs == opened.tables["table"].n_obs
