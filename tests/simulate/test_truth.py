"""The atlas and the truth beside the folders speak of the same genes, cells and spots."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from simulate.tables import positions, read_bins, read_tsv
from tissuemake.genes import is_ensembl
from tissuemake.simulate import cell_types


def test_atlas_has_other_donors_and_raw_counts(tissue):
    atlas = ad.read_h5ad(tissue / "atlas.h5ad")
    assert atlas.obs["donor_id"].nunique() >= 3
    assert set(atlas.obs["cell_type"]) == set(cell_types.NAMES)
    assert (atlas.X.data == np.rint(atlas.X.data)).all() and atlas.X.data.min() >= 0
    assert (atlas.obs["cell_type_major"] == atlas.obs["cell_type"].map(cell_types.MAJOR)).all()
    assert is_ensembl(atlas.var_names).all()
    # Counts are drawn anew: no cell of the section is in the atlas.
    truth = ad.read_h5ad(tissue / "truth/cells.h5ad")
    assert not set(atlas.obs_names) & set(truth.obs_names)


def test_genes_have_one_id_everywhere(tissue):
    atlas = ad.read_h5ad(tissue / "atlas.h5ad").var["feature_name"]
    known = dict(zip(atlas.astype(str), atlas.index, strict=True))
    assert sum(name.startswith("MT-") for name in known) == 13
    for path in ("visium/outs/filtered_feature_bc_matrix.h5", "xenium/cell_feature_matrix.h5"):
        genes = sc.read_10x_h5(tissue / path).var["gene_ids"]
        assert all(known[name] == gene for name, gene in genes.items())


def test_composition_counts_the_cells_under_each_spot(tissue):
    truth = ad.read_h5ad(tissue / "truth/cells.h5ad")
    composition = read_tsv(tissue / "truth/visium_composition.tsv")
    where = positions(tissue).loc[composition.index]
    for barcode in composition.index[::7]:
        centre = where.loc[barcode, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float) * 0.5
        under = np.linalg.norm(truth.obsm["spatial"] - centre, axis=1) <= 27.5
        counted = truth.obs["cell_type"][under].value_counts().reindex(composition.columns, fill_value=0)
        # Positions on disk are whole pixels: a cell on the rim may fall on either side.
        assert np.abs(composition.loc[barcode] - counted).sum() <= 2


def test_hd_composition_sums_to_cells(tissue):
    composition = read_tsv(tissue / "truth/visium_hd_8um_composition.tsv")
    cells = sc.read_10x_h5(tissue / "visium_hd/outs/segmented_outputs/filtered_feature_cell_matrix.h5").n_obs
    assert composition.to_numpy().sum() == pytest.approx(cells, rel=0.01)
    assert list(composition.index) == list(read_bins(tissue, 8).obs_names)


def test_truth_of_xenium_is_one_hot(tissue):
    composition = read_tsv(tissue / "truth/xenium_composition.tsv")
    labels = read_tsv(tissue / "truth/xenium_cell_types.tsv")["label"]
    assert (composition.sum(axis=1) == 1).all()
    assert (composition.idxmax(axis=1) == labels).all()
    assert list(labels.index) == list(pd.read_parquet(tissue / "xenium/cells.parquet")["cell_id"])


def test_zones_are_named_for_all_observations(tissue):
    zones = {
        name: read_tsv(tissue / f"truth/{name}_zones.tsv")["label"]
        for name in ("visium", "visium_hd_8um", "xenium")
    }
    assert set(zones["visium"].index) == set(read_tsv(tissue / "truth/visium_composition.tsv").index)
    for labels in zones.values():
        assert labels.nunique() >= 4 and "outside" not in set(zones["visium"])
