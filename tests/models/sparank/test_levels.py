"""The coarser levels of the types that a model names: those of its atlas, or of the one it is shown."""

import pandas as pd

from models.sparank import test_cohort as cohort
from models.sparank import tiny
from tissuemake.contracts import PROPORTIONS, REFERENCE, read_anndata, read_table, write_anndata
from tissuemake.hierarchy import coarser
from tissuemake.models.sparank.deconvolve import deconvolve_sparank


def test_the_levels_of_the_models_atlas_travel_with_the_shares(tmp_path):
    _, _, state, config = cohort.untaught()
    parity = {name: "even" if int(name[-1]) % 2 == 0 else "odd" for name in cohort.TYPES}
    model = cohort.save(tmp_path / "model", state, {**config, "hierarchy": {"parity": parity}})
    filtered, _ = cohort.write_sample(tmp_path, "fresh")
    table = cohort.proportions(model, filtered, tmp_path / "p.parquet")
    assert table.attrs["tissuemake"]["hierarchy"] == {"parity": parity}
    rolled = coarser(table)["parity"]
    assert {"even", "odd", "unknown", "even_sd", "odd_sd", "unknown_sd"} == set(rolled)


def test_an_atlas_that_is_shown_brings_its_own_levels(prepared, tiny_model, tmp_path):
    atlas = read_anndata(prepared[0], REFERENCE)
    lineage = {name: "immune" if name.endswith("cell") else "other" for name in tiny.TYPES}
    atlas.uns["hierarchy"] = pd.DataFrame({"lineage": lineage})
    write_anndata(atlas, tmp_path / "reference.h5ad", REFERENCE)
    tiny.sample()[0].write_h5ad(tmp_path / "sample.h5ad")
    paths = (tmp_path / "sample.h5ad", tiny_model, tmp_path / "p.parquet")
    deconvolve_sparank(*paths, reference=tmp_path / "reference.h5ad")
    assert read_table(paths[2], PROPORTIONS).attrs["tissuemake"]["hierarchy"] == {"lineage": lineage}
    deconvolve_sparank(*paths)
    assert coarser(read_table(paths[2], PROPORTIONS)) == {}
