"""What pretraining gains: pairs under the same head, by seed, and rivals without chance in them."""

import pytest

from benchmarks.histology_gains import gains, render_gains
from benchmarks.histology_rows import as_table, rows

PCC = "PCC top 250"


def table(values: dict[str, dict[int, float]], metric: str = PCC):
    """Rows of one line: value by method and seed."""
    return as_table(
        row
        for method, by_seed in values.items()
        for seed, value in by_seed.items()
        for row in rows("expression", "a -> b", method, seed, {metric: value})
    )


def test_seeds_are_paired_before_the_median_is_taken():
    found = gains(
        table(
            {
                "spafoundation, ridge": {0: 0.3, 1: 0.5, 2: 0.9},
                "untrained, ridge": {0: 0.4, 1: 0.3, 2: 0.6},
                "untrained, low rank": {0: 0.0, 1: 0.0, 2: 0.0},
            }
        )
    )
    assert len(found) == 1
    row = found.iloc[0]
    # Differences are -.1, .2, .3; those of the medians would be .1.
    assert (row["head"], row["against"], row["wins"], row["seeds"]) == ("ridge", "untrained", 2, 3)
    assert row["difference"] == pytest.approx(0.2)


def test_colour_is_asked_once_and_stands_beside_every_seed():
    found = gains(
        table({"spafoundation, ridge": {0: 0.3, 1: 0.1, 2: 0.4}, "color, ridge": {0: 0.2}})
    ).set_index("against")
    assert found.loc["color", "seeds"] == 3 and found.loc["color", "wins"] == 2
    assert found.loc["color", "difference"] == pytest.approx(0.1)


def test_methods_without_a_head_and_fine_tuned_ones_have_rows_and_other_metrics_have_none():
    tumour = table({"spafoundation": {0: 0.9}, "untrained": {0: 0.8}, "color": {0: 0.95}}, "AUROC")
    fine = table({"spafoundation fine-tuned, ridge": {0: 0.4}, "untrained, ridge": {0: 0.2}})
    assert set(gains(tumour)["difference"].round(3)) == {0.1, -0.05}
    assert gains(fine)["encoder"].tolist() == ["spafoundation fine-tuned"]
    assert gains(table({"spafoundation": {0: 0.9}, "untrained": {0: 0.8}}, "over ceiling top 50")).empty


def test_the_text_counts_the_rows_in_which_pretraining_pays():
    values = {"spafoundation, ridge": {0: 0.3, 1: 0.5}, "untrained, ridge": {0: 0.2, 1: 0.6}}
    values |= {"spafoundation, low rank": {0: 0.3, 1: 0.4}, "untrained, low rank": {0: 0.1, 1: 0.1}}
    text = render_gains(gains(table(values)))
    assert "| +0.000" in text and "1 of 2" in text and "+0.250" in text
    assert "spafoundation is above untrained in 1 of 2 rows" in text
    assert "no row in common" in render_gains(gains(table({"color, ridge": {0: 0.2}})))
