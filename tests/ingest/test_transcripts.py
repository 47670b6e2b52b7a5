"""Transcripts are counted part by part, to what counting all at once gives, whatever their order and format."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tissuemake.errors import InputError
from tissuemake.ingest import transcripts

WHERE = "Sample 'a': transcripts"


def run(seed: int = 0, number: int = 5000) -> pd.DataFrame:
    """Transcripts of 60 cells and some in none, two kinds of feature, in no order."""
    rng = np.random.default_rng(seed)
    cells = np.array([f"cell{i:03}-1" for i in range(60)] + ["UNASSIGNED"], object)
    names = np.array([f"GENE{i}" for i in range(30)] + ["NegControlProbe_00001"], object)
    places = rng.uniform(0, 500, (number, 2)).astype(np.float32)
    return pd.DataFrame(
        {
            "transcript_id": np.arange(number),
            "cell_id": rng.choice(cells, number),
            "feature_name": rng.choice(names, number),
            "x_location": places[:, 0],
            "y_location": places[:, 1],
            "qv": rng.uniform(5, 40, number).astype(np.float32),
        }
    )


def at_once(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    good = table[(table["qv"] >= 20) & (table["cell_id"] != "UNASSIGNED")]
    centres = good.groupby("cell_id")[["x_location", "y_location"]].mean()
    return pd.crosstab(good["cell_id"], good["feature_name"]), centres


@pytest.mark.parametrize("kind", ["parquet", "csv.gz"])
@pytest.mark.parametrize("merged_at", [0, 1 << 24])
def test_parts_add_up(tmp_path, monkeypatch, kind, merged_at):
    monkeypatch.setattr(transcripts, "PART", 700)
    monkeypatch.setattr(transcripts, "MERGED_AT", merged_at)
    table, path = run(), tmp_path / f"transcripts.{kind}"
    if kind == "parquet":
        table.to_parquet(path, index=False, row_group_size=900)
    else:
        table.to_csv(path, index=False)
    counts, centres = transcripts.transcript_counts(path, tmp_path / "gene_panel.json", WHERE)
    expected, means = at_once(table)
    found = counts.to_df().loc[expected.index]
    assert (found.columns == expected.columns).all() and (found.to_numpy() == expected.to_numpy()).all()
    first = table.loc[(table["qv"] >= 20) & (table["cell_id"] != "UNASSIGNED"), "cell_id"].drop_duplicates()
    assert list(counts.obs_names) == list(centres.index) == list(first)
    np.testing.assert_allclose(centres.loc[means.index], means, rtol=1e-5)
    assert counts.var.loc["NegControlProbe_00001", "feature_type"] == "Negative Control Probe"


def test_no_more_than_a_part_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(transcripts, "PART", 700)
    run().to_parquet(tmp_path / "transcripts.parquet", index=False)
    sizes = [len(part) for part in transcripts.read_parts(tmp_path / "transcripts.parquet", WHERE)]
    assert sum(sizes) == 5000 and max(sizes) <= 700


def test_parts_that_were_read_do_not_stay_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(transcripts, "PART", 5000)
    path = tmp_path / "transcripts.parquet"
    run(number=200_000).to_parquet(path, index=False, row_group_size=5000)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in transcripts.read_parts(path, WHERE)]
    assert len(held) == 40 and max(held) < path.stat().st_size / 4


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda table: table.assign(qv=3.0), "no_transcripts"),
        (lambda table: table.drop(columns="qv"), "missing_column"),
        (None, "unreadable_table"),
    ],
)
def test_what_cannot_be_counted_is_said(tmp_path, change, code):
    path = tmp_path / "transcripts.parquet"
    (change or (lambda table: table))(run()).to_parquet(path, index=False)
    if change is None:
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError) as caught:
        transcripts.transcript_counts(path, tmp_path / "none.json", WHERE)
    assert caught.value.code == code
