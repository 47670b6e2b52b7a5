"""From filtered files to a model folder, and what it says of a section that it never saw."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from models.sagefm.toy_section import GENES, QUICK, section, written
from tissuemake.contracts import IMPUTED, SPOT_EMBEDDINGS, read_anndata
from tissuemake.device import Device, given_device
from tissuemake.errors import InputError
from tissuemake.evaluation.metrics import pearson
from tissuemake.models.sagefm.encode import SageFM, embed_sagefm, load_sagefm
from tissuemake.models.sagefm.impute import impute_sagefm
from tissuemake.models.sagefm.pretrain import pretrain_sagefm
from tissuemake.models.store import load_model, weights_hash

FIELD, STATE = slice(0, GENES // 2), slice(GENES // 2, GENES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sagefm")


@pytest.fixture(scope="module")
def taught(folder):
    return written(folder, "taught", section(0))


@pytest.fixture(scope="module")
def asked(folder):
    return written(folder, "asked", section(1))


@pytest.fixture(scope="module")
def model(folder, taught):
    pretrain_sagefm([taught], folder / "model", custom=QUICK, checkpoints=folder / "checkpoints")
    assert not (folder / "checkpoints").exists()
    return folder / "model"


def scores(said: np.ndarray, adata) -> np.ndarray:
    return pearson(said, adata.X.toarray())


def test_hidden_genes_are_read_from_the_spot_and_from_around_it(model):
    adata = section(1)
    network = load_sagefm(model)
    assert network.genes == sorted(adata.var_names)
    adata = adata[:, network.genes]
    field = np.array([int(gene[1:]) < GENES // 2 for gene in network.genes])
    seen = network.read(adata)
    hidden = np.arange(GENES) % 3 == 0
    own = scores(network.predict(seen, hidden), adata)
    around = scores(network.predict(seen, centre=False), adata)
    assert np.median(own[hidden & field]) > 0.4
    assert np.median(own[hidden & ~field]) > 0.4
    # A private state does not show in the neighbours, a field does.
    assert np.median(around[field]) > 0.4
    assert abs(np.median(around[~field])) < 0.2


def test_a_gene_hidden_everywhere_changes_nothing_by_its_values(model):
    network, adata = load_sagefm(model), section(1)
    hidden = np.arange(GENES) < 20
    told = network.predict(network.read(adata), hidden, everywhere=True)
    blanked = adata.copy()
    column = blanked.var_names.get_indexer(np.array(network.genes)[hidden])
    counts = blanked.layers["counts"].toarray()
    counts[:, column] = counts[np.random.default_rng(0).permutation(len(counts))][:, column]
    blanked.layers["counts"] = sp.csr_matrix(counts)
    seen = network.read(blanked)
    again = network.predict(seen, hidden, everywhere=True)
    # Depth is counted over all genes, so it moves a little.
    assert np.median(pearson(again, told)) > 0.9
    # At the centre alone the neighbours' values do show.
    assert np.abs(network.predict(seen, hidden) - again)[:, hidden].max() > 0.01


def test_a_panel_is_completed(model, folder):
    panel = written(folder, "panel", section(1, genes=40))
    impute_sagefm(panel, model, folder / "panel.h5ad", held_out_genes=20)
    imputed = read_anndata(folder / "panel.h5ad", IMPUTED)
    whole = section(1)[:, imputed.var_names]
    new = ~imputed.var["measured"].to_numpy()
    assert imputed.n_vars == GENES and new.sum() == GENES - 40
    assert np.median(scores(imputed.X, whole)[new]) > 0.3
    assert imputed.var["held_out_r"].notna().sum() == 20
    assert imputed.var.loc[imputed.var["held_out_r"].notna(), "measured"].all()


def test_another_section_of_a_taught_donor_has_no_held_out_score(model, folder):
    same = section(0, rows=12)
    impute_sagefm(written(folder, "same", same), model, folder / "seen.h5ad", held_out_genes=20)
    imputed = read_anndata(folder / "seen.h5ad", IMPUTED)
    assert imputed.var["held_out_r"].isna().all() and imputed.uns["tissuemake"]["pretrained_on_this_donor"]
    assert imputed.uns["tissuemake"]["weights_sha256"] == weights_hash(model)


def test_embedding_is_one_vector_per_spot(model, asked, folder):
    embed_sagefm(asked, model, folder / "embedding.h5ad")
    found = read_anndata(folder / "embedding.h5ad", SPOT_EMBEDDINGS)
    assert found.shape == (256, 2 * QUICK.architecture.latent) and np.isfinite(found.X).all()
    assert found.uns["tissuemake"]["weights_sha256"] == weights_hash(model)
    assert found.obs_names.tolist() == section(1).obs_names.tolist()


def test_the_fast_embedding_is_that_of_whole_lessons(model):
    network, adata = load_sagefm(model), section(1, genes=50)
    seen = network.read(adata)
    whole = network._embed_whole(network._pupil(seen))
    np.testing.assert_allclose(network.embed(seen), whole, atol=2e-2)
    # To rounding where no gene is missing; else components are solved by a few steps there, and exactly here.
    all_of_it = network.read(section(1))
    whole = network._embed_whole(network._pupil(all_of_it))
    np.testing.assert_allclose(network.embed(all_of_it), whole, atol=1e-4)


def test_same_seed_same_weights(folder, taught):
    short = replace(QUICK, schedule=replace(QUICK.schedule, steps=20, validate_every=10))
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        pretrain_sagefm([taught], folder / name, custom=short, seed=seed, checkpoints=folder / f"{name}.ckpt")
    first, second = (load_sagefm(folder / name) for name in ("one", "two"))
    seen = first.read(section(1))
    np.testing.assert_array_equal(first.predict(seen), second.predict(seen))
    other = load_sagefm(folder / "other")
    assert np.abs(first.predict(seen) - other.predict(seen)).max() > 0.02


def test_the_recipe_of_cliques_is_taught_too(folder, taught):
    short = replace(QUICK, schedule=replace(QUICK.schedule, steps=30, validate_every=15))
    pretrain_sagefm(
        [taught], folder / "clique", custom=short, graph="clique", checkpoints=folder / "clique.ckpt"
    )
    network, adata = load_sagefm(folder / "clique"), section(1)
    seen = network.read(adata)
    assert seen.neighbors.width == 14
    assert np.isfinite(network.predict(seen, centre=False)).all()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"preset": "huge"}, "unknown_preset"),
        ({"graph": "star"}, "unknown_graph"),
        ({"filtered": []}, "no_cohort"),
    ],
)
def test_refusals(folder, taught, change, code):
    given = {"filtered": [taught], "output": folder / "no", "checkpoints": folder / "no.ckpt"} | change
    with pytest.raises(InputError) as caught:
        pretrain_sagefm(given.pop("filtered"), given.pop("output"), **given)
    assert caught.value.code == code


def test_another_organism_is_refused(model):
    other = section(1)
    other.var_names = [f"mouse{i}" for i in range(GENES)]
    with pytest.raises(InputError) as caught:
        load_sagefm(model).read(other, "sample M")
    assert caught.value.code == "no_shared_genes" and "sample M" in caught.value.message


def test_weights_of_another_network_are_refused(model):
    state, config = load_model(model)
    config["architecture"] |= {"width": 8}
    with pytest.raises(InputError) as caught:
        SageFM(state, config, given_device(0))
    assert caught.value.code == "wrong_model"


def test_an_answer_says_on_what_it_ran_and_is_not_given_without_its_gpu(model, asked, tmp_path, monkeypatch):
    output = tmp_path / "answer.h5ad"
    for answer in (embed_sagefm, impute_sagefm):
        with monkeypatch.context() as patch:
            patch.setattr("torch.cuda.device_count", lambda: 0)
            with pytest.raises(InputError) as caught:
                answer(asked, model, output, gpus=1)
        assert caught.value.code == "gpu_not_visible" and not output.exists()
    elsewhere = Device("cpu", 1, "NVIDIA Abacus", "32-true")
    monkeypatch.setattr("tissuemake.models.sagefm.encode.given_device", lambda gpus: elsewhere)
    embed_sagefm(asked, model, output, gpus=1)
    assert read_anndata(output, SPOT_EMBEDDINGS).uns["tissuemake"]["device"] == "NVIDIA Abacus"
    impute_sagefm(asked, model, output, gpus=1)
    assert read_anndata(output, IMPUTED).uns["tissuemake"]["device"] == "NVIDIA Abacus"
