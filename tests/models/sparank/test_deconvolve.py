"""Any h5ad and a model folder in, tables out: names find their genes, the record names the model, errors say why."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.sparank import tiny
from tissuemake import cli
from tissuemake.contracts import (
    ATTRIBUTIONS,
    GATE,
    PROPORTIONS,
    UNKNOWN,
    read_table,
    type_columns,
)
from tissuemake.errors import InputError
from tissuemake.models.curve import Curve
from tissuemake.models.sparank.architecture import Architecture
from tissuemake.models.sparank.deconvolve import deconvolve_sparank, open_model, with_atlas
from tissuemake.models.sparank.model import SpaRank
from tissuemake.models.store import load_model, save_model, weights_hash


def proportions(sample, model, folder: Path, name="p", **options) -> pd.DataFrame:
    sample.write_h5ad(folder / f"{name}.h5ad")
    deconvolve_sparank(folder / f"{name}.h5ad", model, folder / f"{name}.parquet", **options)
    return read_table(folder / f"{name}.parquet", PROPORTIONS)


@pytest.fixture(scope="module")
def plain(tiny_model, tmp_path_factory) -> pd.DataFrame:
    return proportions(tiny.sample()[0], tiny_model, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def brain(tmp_path_factory) -> tuple[Path, Path]:
    """Another prepared atlas, of other types."""
    cells = tiny.atlas(["astrocyte", "microglia", "neuron", "oligodendrocyte"], donors=2, cells=10)
    return tiny.prepare(cells, tmp_path_factory.mktemp("brain"), "brain")


def test_the_table_keeps_its_contract(plain):
    sample, _ = tiny.sample()
    assert plain.index.tolist() == sample.obs_names.tolist()
    names = [*tiny.TYPES, UNKNOWN]
    assert plain.columns.tolist() == [*names, *(f"{name}_sd" for name in names)]
    assert type_columns(plain) == names and GATE not in plain
    np.testing.assert_allclose(plain[names].sum(axis=1), 1, atol=1e-6)
    spread = plain[[f"{name}_sd" for name in names]]
    assert (spread > 0).all(axis=None) and spread.max(axis=None) < 1


def test_the_shares_are_those_of_the_sample(plain):
    _, truth = tiny.sample()
    assert np.corrcoef(plain[tiny.TYPES].to_numpy().ravel(), truth.to_numpy().ravel())[0, 1] > 0.97
    assert plain[UNKNOWN].mean() < 0.1
    inside = (plain[tiny.TYPES] - truth).abs() <= 1.645 * plain[[f"{t}_sd" for t in tiny.TYPES]].to_numpy()
    assert inside.mean(axis=None) > 0.8


def test_the_record_names_the_model(plain, tiny_model):
    record = plain.attrs["tissuemake"]
    assert record["method"] == "sparank" and record["model"] == str(tiny_model)
    assert record["weights_sha256"] == weights_hash(tiny_model)
    assert record["device"].startswith("cpu") and record["seed"] == 0
    assert record["n_genes"] == tiny.PRESET.genes and record["n_spots"] == 60 and record["n_types"] == 5
    assert record["spots_without_signal"] == 0 and record["seconds"] > 0


def test_the_same_seed_gives_the_same_table(plain, tiny_model, tmp_path):
    pd.testing.assert_frame_equal(proportions(tiny.sample()[0], tiny_model, tmp_path), plain)


def test_the_order_of_genes_does_not_matter(plain, tiny_model, tmp_path):
    sample, _ = tiny.sample()
    order = np.random.default_rng(0).permutation(sample.n_vars)
    pd.testing.assert_frame_equal(proportions(sample[:, order].copy(), tiny_model, tmp_path), plain)


@pytest.mark.parametrize("version", ["", ".7"])
def test_ensembl_ids_find_their_genes(plain, tiny_model, tmp_path, version):
    sample, _ = tiny.sample()
    sample.var_names = [f"{name}{version}" for name in tiny.IDS]
    found = proportions(sample, tiny_model, tmp_path)
    pd.testing.assert_frame_equal(found, plain)
    assert found.attrs["tissuemake"]["n_genes"] == tiny.PRESET.genes


def test_counts_are_found_in_a_layer_when_x_is_not_counts(plain, tiny_model, tmp_path):
    sample, _ = tiny.sample()
    sample.layers["counts"] = sample.X.copy()
    sample.X = sample.X.multiply(0.37).tocsr()
    pd.testing.assert_frame_equal(proportions(sample, tiny_model, tmp_path), plain)


def test_genes_that_the_model_does_not_know_change_nothing(plain, tiny_model, tmp_path):
    sample, _ = tiny.sample()
    unknown = [gene for gene in tiny.GENES if gene not in load_model(tiny_model)[1]["genes"]]
    assert len(unknown) == 20
    found = proportions(sample[:, ~sample.var_names.isin(unknown)].copy(), tiny_model, tmp_path)
    pd.testing.assert_frame_equal(found, plain)


def test_a_panel_is_not_taken_for_absent_genes(tiny_model, tmp_path):
    """The markers of one type are not measured; as zeros they would speak against it."""
    sample, truth = tiny.sample()
    panel = sample[:, ~sample.var_names.isin(tiny.markers_of(4)[:6])].copy()
    zeros = sample.copy()
    zeros.X = zeros.X.multiply(sample.var_names.isin(panel.var_names)).tocsr()
    found, absent = (proportions(each, tiny_model, tmp_path)["tumour"] for each in (panel, zeros))
    assert (found - truth["tumour"]).abs().mean() < 0.08
    assert (found - truth["tumour"]).abs().mean() < 0.6 * (absent - truth["tumour"]).abs().mean()


def test_spots_without_counts_are_answered_and_counted(tiny_model, tmp_path):
    sample, _ = tiny.sample()
    counts = sample.X.toarray()
    counts[:2] = 0
    sample.X = type(sample.X)(counts)
    found = proportions(sample, tiny_model, tmp_path)
    assert found.attrs["tissuemake"]["spots_without_signal"] == 2 and found.notna().all(axis=None)


def test_a_sample_of_other_genes_is_refused(tiny_model, tmp_path):
    sample, _ = tiny.sample()
    sample.var_names = [f"OTHER{i}" for i in range(sample.n_vars)]
    with pytest.raises(InputError, match="the model on 'toy'") as caught:
        proportions(sample, tiny_model, tmp_path)
    assert caught.value.code == "low_gene_overlap" and not (tmp_path / "p.parquet").exists()


def test_the_genes_that_spoke_are_the_markers(tiny_model, tmp_path):
    proportions(tiny.sample(depth=200)[0], tiny_model, tmp_path, attributions=tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", ATTRIBUTIONS)
    assert table["cell_type"].unique().tolist() == tiny.TYPES and table["score"].gt(0).all()
    for kind, (_, genes) in enumerate(table.groupby("cell_type", sort=False)):
        assert genes["rank"].tolist() == list(range(1, len(genes) + 1)) and 8 <= len(genes) <= 20
        assert genes["score"].is_monotonic_decreasing
        assert set(genes["gene"][:5]) <= set(tiny.markers_of(kind))
    assert table.attrs["tissuemake"]["weights_sha256"] == weights_hash(tiny_model)


def test_genes_that_spoke_against_a_type_are_not_among_those_that_spoke_for_it(tiny_model, tmp_path):
    """A panel of so few genes that the best twenty would reach them."""
    panel = tiny.sample()[0][:, :25].copy()
    proportions(panel, tiny_model, tmp_path, attributions=tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", ATTRIBUTIONS)
    assert table["score"].gt(0).all() and set(table["gene"]) <= set(panel.var_names)
    for kind, (_, genes) in enumerate(table.groupby("cell_type", sort=False)):
        others = {gene for other in range(5) if other != kind for gene in tiny.markers_of(other)}
        assert 3 <= len(genes) < 20 and not set(genes["gene"][:4]) & others


def test_another_atlas_gives_its_types_by_the_same_weights(tiny_model, brain, tmp_path):
    sample, _ = tiny.sample()
    shares = np.random.default_rng(2).dirichlet(np.full(4, 0.4), 60)
    sample.X = type(sample.X)(np.random.default_rng(3).poisson(shares @ tiny.profiles(4) * 1500.0))
    found = proportions(sample, tiny_model, tmp_path, reference=brain[0])
    types = ["astrocyte", "microglia", "neuron", "oligodendrocyte"]
    assert type_columns(found) == [*types, UNKNOWN]
    assert found.attrs["tissuemake"]["weights_sha256"] == weights_hash(tiny_model)
    assert found.attrs["tissuemake"]["n_types"] == 4 and found.attrs["tissuemake"]["n_genes"] == 140
    assert np.corrcoef(found[types].to_numpy().ravel(), shares.ravel())[0, 1] > 0.9


def test_showing_another_atlas_leaves_the_model_as_it_was(tiny_model, brain):
    model = open_model(tiny_model)
    shown = with_atlas(model, brain[0], genes=50)
    assert shown.network is model.network and shown.config["shown"] == "brain"
    assert model.types == tiny.TYPES and "shown" not in model.config
    assert len(shown.vocabulary) == 50 and shown.reference.signature.shape == (50, 4)


def fixed_head(tiny_model, folder: Path) -> Path:
    _, config = load_model(tiny_model, "sparank")
    chosen = Architecture(head="fixed", width=16, layers=1, heads=2, reads=6, tokens=24)
    state = {f"network.{k}": v for k, v in SpaRank(chosen, len(config["genes"]), 5).state_dict().items()}
    state["reference.signature"] = load_model(tiny_model)[0]["reference.signature"]
    curve = Curve(0, "cpu", "32-true")
    curve.add(step=1, train_loss=1.0, valid_loss=1.0, learning_rate=1e-3, seconds=1.0)
    save_model(folder, state, config | {"architecture": chosen.as_dict()}, "a card", curve)
    return folder


def test_a_fixed_head_answers_for_its_own_atlas_only(tiny_model, brain, tmp_path):
    model = fixed_head(tiny_model, tmp_path / "fixed")
    found = proportions(tiny.sample()[0], model, tmp_path, attributions=tmp_path / "a.parquet")
    assert type_columns(found) == [*tiny.TYPES, UNKNOWN]
    with pytest.raises(InputError) as caught:
        proportions(tiny.sample()[0], model, tmp_path, "other", reference=brain[0])
    assert caught.value.code == "fixed_head" and not (tmp_path / "other.parquet").exists()


def test_without_its_gpu_nothing_is_answered(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError) as caught:
        proportions(tiny.sample()[0], tiny_model, tmp_path, gpus=1)
    assert caught.value.code == "gpu_not_visible" and not (tmp_path / "p.parquet").exists()


def test_weights_that_were_changed_are_refused(tiny_model, tmp_path):
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError) as caught:
        proportions(tiny.sample()[0], copy, tmp_path)
    assert caught.value.code == "weights_changed"


def command_line(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["tissuemake", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    if left.value.code:
        raise AssertionError(left.value.code)


def test_the_command_line_asks_the_model(plain, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.sample()[0].write_h5ad("sample.h5ad")
    command_line(
        monkeypatch, "deconvolve", "sample.h5ad", "--model", tiny_model, "--attributions", "a.parquet"
    )
    pd.testing.assert_frame_equal(read_table("sample.sparank.parquet", PROPORTIONS), plain)
    assert len(read_table("a.parquet", ATTRIBUTIONS))


def test_the_command_line_says_what_is_wrong_in_one_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"error: There is no model folder nowhere.*\nremedy: "):
        command_line(monkeypatch, "deconvolve", "sample.h5ad", "--model", "nowhere")


def test_a_model_of_an_older_version_is_refused_by_name(tiny_model, tmp_path):
    old = shutil.copytree(tiny_model, tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | {"intervals": [1.0] * 7}))
    with pytest.raises(InputError, match="old") as caught:
        open_model(old)
    assert caught.value.code == "outdated_model"
