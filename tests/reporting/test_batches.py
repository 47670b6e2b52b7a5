"""Slide and batch effects: found where planted, not found where not, and not claimed where nothing can be told."""

import h5py
import numpy as np
import pandas as pd
import pytest

from reporting.made_up_cohort import made_up_quality
from tissuemake.reporting.batch_section import batch_section
from tissuemake.reporting.batches import PROFILE, batch_effects, ways
from tissuemake.reporting.pseudobulk import principal_axes
from tissuemake.reporting.quality_table import as_table


def cohort(n, seed=0, **effects):
    table = as_table(made_up_quality(n, seed, **effects))
    return table[table["kept"].notna()].reset_index(drop=True)


def rows(table, **kwargs):
    found = batch_effects(table, **kwargs)
    return found.measures, {row.name: row for row in found.rows}


def test_a_planted_difference_between_slides_is_found_where_it_is():
    # No donor but the section itself: slides are tested between sections.
    table = cohort(48, 1, slide_effect=0.25).assign(donor="")
    measures, found = rows(table)
    effects = dict(zip(measures, found["slide"].effects, strict=True))
    assert effects["Median counts"].p < 0.02 and effects["Median counts"].share > 0.5
    assert effects["Observations under tissue"].p > 0.05
    assert found["software"].note.startswith("tested between slides") and found["software"].samples == 12


def test_without_one_hardly_anything_is_called():
    called, shares = 0, []
    for seed in range(20):
        _, found = rows(cohort(24, seed + 50).assign(donor=""), seed=seed)
        called += any(effect and effect.p < 0.05 for row in found.values() for effect in row.effects)
        shares += [effect.share for effect in found["slide"].effects]
    assert called <= 4
    # Six slides of four sections each "explain" a fifth of any noise; that is taken off.
    assert np.mean(shares) < 0.12


def test_versions_are_not_blamed_for_what_slides_do():
    """Two versions, each on slides of its own: sections of a slide are no independent witnesses."""
    called = 0
    for seed in range(20):
        table = cohort(40, seed + 90, slide_effect=0.4).assign(donor="", tissue="")
        _, found = rows(table, seed=seed)
        called += found["software"].effects[0].p < 0.05
    assert called <= 4


def test_few_samples_are_told_from_nothing():
    assert batch_effects(cohort(7)) is None
    table = cohort(8).assign(donor="", tissue="")
    table["slide"], table["software"] = ["a", "b"] * 4, ""
    _, found = rows(table)
    assert found["slide"].note == "too few samples to tell from chance" and not any(found["slide"].effects)
    table["slide"] = list("abcdefgh")
    _, found = rows(table)
    assert found["slide"].note == "each has one sample: nothing to compare"
    assert (ways(np.array([4, 4])), ways(np.array([2, 1]))) == (pytest.approx(35), pytest.approx(3))


def test_factors_that_part_the_samples_alike_are_one_row():
    table = cohort(24).assign(donor=lambda t: "d" + t["slide"], tissue="", software="x")
    assert [row.label for row in batch_effects(table).rows] == ["slide and donor"]


def test_one_failure_is_no_batch():
    table = cohort(24, 3).assign(donor="", tissue="", software="")
    share = rows(table)[1]["slide"].effects[0].share
    table.loc[0, "median_counts"] = 1.0
    assert abs(rows(table)[1]["slide"].effects[0].share - share) < 0.35


def write_totals(folder, table, rng):
    """Files with the counts of 60 genes, ten of which say on which slide a section lay."""
    paths = {}
    slides = {slide: rng.normal(0, 1, 10) for slide in table["slide"].unique()}
    for name, slide in zip(table["sample"], table["slide"], strict=True):
        mean = np.full(60, 5.0) + rng.normal(0, 0.1, 60)
        mean[:10] += slides[slide]
        genes = [f"G{i}" for i in rng.permutation(60)]
        paths[name] = folder / f"{name}.h5ad"
        with h5py.File(paths[name], "w") as file:
            var = file.create_group("var")
            var.attrs["_index"] = "_index"
            var["_index"] = [*genes, f"ONLY-{name}"]
            var["total_counts"] = np.append(np.exp(mean)[[int(gene[1:]) for gene in genes]], 1e6)
    return paths


def test_profiles_part_by_slide_and_are_drawn(tmp_path):
    table = cohort(12).assign(donor="", tissue="", software="")
    part = batch_section(table, as_table([]), write_totals(tmp_path, table, np.random.default_rng(0)))[0]
    effect = part["table"].rows[0].effects[part["table"].measures.index(PROFILE)]
    assert effect.share > 0.8 and effect.p < 0.05
    assert part["by"] == "slide" and len(part["keys"]) == 3
    assert str(part["figure"]).count('class="place"') == 12


def test_axes_are_the_principal_ones():
    values = np.random.default_rng(0).normal(0, np.linspace(3, 1, 40), (15, 40))
    places, variance = principal_axes(pd.DataFrame(values))
    left, size, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(
        np.abs(places.to_numpy()[:, :3]), np.abs(left * size)[:, :3], rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(variance[:3], (size**2 / (size**2).sum())[:3], rtol=1e-3)


def test_profiles_are_not_read_for_few_samples_or_from_old_files(tmp_path):
    table = cohort(12).assign(donor="", tissue="", software="")
    assert batch_section(table[:7], as_table([]), dict.fromkeys(table["sample"], tmp_path / "none")) == []
    for name in table["sample"]:
        with h5py.File(tmp_path / name, "w") as file:
            file.create_group("var")
    part = batch_section(table, as_table([]), {name: tmp_path / name for name in table["sample"]})[0]
    assert PROFILE not in part["table"].measures and part["figure"] == ""


def test_history_counts_and_names_of_other_runs_may_be_the_same():
    table = cohort(6).assign(donor="", tissue="", software="")
    past = cohort(20, 9).assign(donor="", tissue="", software="")
    found = batch_section(table, past, {})[0]["table"]
    assert found.rows[0].samples == 26
    assert isinstance(table.index, pd.RangeIndex)
