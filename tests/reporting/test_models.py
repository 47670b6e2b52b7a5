"""What pages and manifests take from a model's folder, and the genes that spoke beside known markers."""

import pandas as pd
import pytest

from reporting.toy_tissue import CARD, TYPES
from tissuemake import contracts, files
from tissuemake.errors import InputError
from tissuemake.reporting import charts
from tissuemake.reporting.agreement import by_type, overlap
from tissuemake.reporting.attributions import speaking_genes
from tissuemake.reporting.models import facts_of, model_section, read_card, read_model, summary
from tissuemake.reporting.type_layers import by_abundance, type_colours


def test_a_model_states_where_it_comes_from(toy):
    model = read_model(toy.model)
    facts = dict(facts_of(model))
    assert facts["preset"] == "tiny" and facts["reference"] == "<em>atlas</em>"
    assert facts["seed"] == 7 and facts["trained on"] == "cpu (2 threads)"
    assert facts["sha256 of the weights"] == files.sha256(toy.model / "model.safetensors")
    assert facts["steps of training"] == 400 and facts["time of training"] == "2.0 min"
    kept = model.training["valid_loss"].idxmin()
    assert facts["step of the weights kept"] == model.training["step"][kept]
    section = model_section("sparank", model, None, None)
    assert section["scores"] == [("pearson, simulated spots", "0.871")]
    assert "Scores on held-out donors" not in section["card"]
    assert summary(model)["card"]["Training data"] == ["ref|erence.h5ad: 0123abcd"]


def test_weights_from_elsewhere_need_no_curve_and_no_card(toy, tmp_path):
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((toy.model / name).read_bytes())
    section = model_section("sparank", read_model(tmp_path), None, None)
    assert section["curve"] is None and section["card"] == {} and section["facts"]
    record = {"model": "lab/sparank", "weights_sha256": "0a1b"}
    facts = model_section("sparank", None, None, None, record)["facts"]
    assert facts == [("model", "lab/sparank"), ("sha256 of the weights", "0a1b")]
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"config.json is missing"):
        read_model(tmp_path)


def test_card_is_read_by_heading():
    card = read_card(CARD)
    assert list(card) == ["Intended use", "Training data", "Scores on held-out donors", "Where it fails"]
    assert card["Where it fails"] == ["Types that the atlas lacks.", "Depth below 300 counts."]
    assert read_card("no headings at all") == {}


def test_the_card_that_training_writes_is_read_back():
    from tissuemake.models.card import model_card
    from tissuemake.models.curve import Curve

    curve = Curve(1, "cpu", "32-true")
    curve.add(step=10, train_loss=1.0, valid_loss=1.0, learning_rate=1e-3, seconds=1.0)
    text = model_card(
        "m", kind="sparank", intended_use="Spots.", training_data={"a|b": "00"}, preset="tiny", curve=curve,
        scores={"pearson | held out": 0.5}, failure_modes=["None known."], licence="CC0",
    )  # fmt: skip
    card = read_card(text)
    assert card["Scores on held-out donors"] == [("pearson | held out", "0.5")]
    assert card["Training data"] == [("a|b", "00")]


def test_markers_that_spoke_are_marked_whatever_their_case():
    spoke = pd.DataFrame(
        {
            "cell_type": ["T", "T", "B"],
            "gene": ["CD3E", "ACTB", "CD19"],
            "score": [0.1, 0.9, 1.0],
            "rank": [2, 1, 1],
        }
    )
    markers = pd.DataFrame({"cell_type": ["T", "T"], "gene": ["Cd3e", "Cd8a"], "rank": [1, 2]})
    rows = speaking_genes(spoke, markers)
    assert [row["name"] for row in rows] == ["T", "B"]
    assert rows[0]["genes"] == [{"gene": "ACTB", "known": False}, {"gene": "CD3E", "known": True}]
    assert rows[0]["markers"] == [{"gene": "Cd3e", "spoke": True}, {"gene": "Cd8a", "spoke": False}]
    assert (rows[0]["hits"], rows[1]["hits"], rows[1]["markers"]) == (1, 0, [])
    assert speaking_genes(spoke, None)[0]["hits"] == 0


def test_agreement_leaves_the_unknown_share_out_and_counts_an_absent_type_as_none():
    base = pd.DataFrame({"A": [0.5, 1.0, 0.0], "B": [0.5, 0.0, 1.0]}, index=list("xyz"))
    other = pd.DataFrame(
        {"A": [0.25, 0.4, 0.0], "C": [0.25, 0.0, 0.2], "unknown": [0.5, 0.6, 0.8]}, index=list("xyz")
    )
    assert list(overlap(other, base)) == pytest.approx([0.5, 1.0, 0.0])
    assert list(overlap(base, base)) == [1, 1, 1]
    types = by_type(other, base)
    assert list(types.index) == ["A", "B", "C"]
    assert types.loc["A", "r"] == pytest.approx(1) and types.loc["A", "rmse"] == pytest.approx(0)
    assert pd.isna(types.loc["B", "r"])
    assert types.loc["C", "share"] == pytest.approx(0.5) and types.loc["C", "base_share"] == 0


def test_unknown_has_its_own_colour_and_moves_no_other(toy):
    known = contracts.read_table(toy.proportions["nnls"], contracts.PROPORTIONS)
    both = {"sparank": contracts.read_table(toy.proportions["sparank"], contracts.PROPORTIONS), "nnls": known}
    colours = type_colours(both)
    assert len(set(colours.values())) == len(TYPES) + 1
    assert by_abundance(both["sparank"])[-1] == contracts.UNKNOWN
    mostly = both["sparank"].assign(unknown=9.0)  # the most abundant of all
    assert type_colours({"sparank": mostly}) == colours


def test_loss_curve_shows_the_weights_kept_and_survives_what_is_missing():
    training = pd.DataFrame(
        {"step": [10, 20, 30], "train_loss": [900.0, 2, 1], "valid_loss": [900.0, 1.5, 1.8]}
    )
    svg = charts.loss_curve(training)
    assert 'x1="286.0"' in svg  # two thirds of the way from 46 to 406
    assert 'x1="406.0"' in charts.loss_curve(training, kept=30)
    assert "curve-valid" not in charts.loss_curve(training.assign(valid_loss=float("nan")))
    assert "No loss" in charts.loss_curve(training.assign(valid_loss=float("nan"), train_loss=float("nan")))
