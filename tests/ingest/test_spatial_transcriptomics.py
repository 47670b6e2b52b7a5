"""Legacy ST: counts by XxY, spots joined on the integer coordinates, 1k and 2k arrays."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tissuemake.contracts import INGESTED, check_anndata
from tissuemake.errors import InputError
from tissuemake.ingest import open_reader
from tissuemake.sheets import Sample

PX = 290.0  # pixels per array step


@pytest.fixture
def section(tmp_path):
    """Tables of 30 spots on a 1k array: counts (spots × genes) and spot file, in different orders."""
    rng = np.random.default_rng(5)
    xs, ys = (index.ravel() + 10 for index in np.indices((6, 5)))
    names = [f"{x}x{y}" for x, y in zip(xs, ys, strict=True)]
    counts = pd.DataFrame(rng.poisson(3, (30, 12)), index=names, columns=[f"GENE{i}" for i in range(12)])
    spots = pd.DataFrame({"x": xs, "y": ys, "new_x": xs + 0.4, "new_y": ys - 0.4})
    spots["pixel_x"], spots["pixel_y"] = PX * xs, PX * ys + 50
    spots["selected"] = (ys > 10).astype(int)
    return counts.sample(frac=1, random_state=1), spots, tmp_path


def write(section, *, spots=True, transposed=False, name="counts.tsv.gz", **cells) -> Sample:
    counts, places, folder = section
    table = counts.T if transposed else counts
    table.to_csv(folder / name, sep="," if ".csv" in name else "\t")
    places.to_csv(folder / "spots.tsv", sep="\t", index=False)
    return Sample("st1", "st", str(folder / name), spots=str(folder / "spots.tsv") if spots else "", **cells)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", ["counts.tsv", "counts.tsv.gz", "counts.csv"])
def test_counts_and_pixels_are_joined_by_spot(section, transposed, name):
    adata = open_reader(write(section, transposed=transposed, name=name)).read()
    check_anndata(adata, INGESTED, "test")
    counts, spots, _ = section
    assert (adata.to_df() == counts.loc[adata.obs_names]).all(axis=None)
    places = spots.set_index(spots["x"].astype(str) + "x" + spots["y"].astype(str)).loc[adata.obs_names]
    assert (adata.obsm["spatial"] == places[["pixel_x", "pixel_y"]].to_numpy()).all()
    assert (adata.obs["in_tissue"] == (places["selected"] == 1)).all()
    assert (adata.obs[["array_col", "array_row"]].to_numpy() == places[["x", "y"]].to_numpy()).all()
    factors = adata.uns["spatial"]["st1"]["scalefactors"]
    assert factors["microns_per_pixel"] == pytest.approx(200 / PX)


def test_2k_array_has_neighbours_on_the_diagonal(section):
    counts, spots, folder = section
    spots = spots.assign(x=spots["x"] * 2 + spots["y"] % 2, y=spots["y"])
    spots["pixel_x"], spots["pixel_y"] = spots["x"] * 20.0, spots["y"] * 20 * np.sqrt(5) / 2
    counts = counts.sort_index().set_axis(
        [f"{x}x{y}" for x, y in zip(spots["x"], spots["y"], strict=True)], axis=0
    )
    adata = open_reader(write((counts, spots, folder))).read()
    assert adata.uns["tissuemake"]["pitch_um"] == 150.0
    # One column is two thirds of the pitch, 100 µm on 20 pixels.
    assert adata.uns["spatial"]["st1"]["scalefactors"]["microns_per_pixel"] == pytest.approx(5.0)


def test_without_spot_file_positions_are_micrometres(section):
    adata = open_reader(write(section, spots=False)).read()
    assert adata.uns["spatial"]["st1"]["scalefactors"]["microns_per_pixel"] == 1.0
    x, y = (adata.obs_names.to_series().str.split("x").str[i].astype(float) for i in (0, 1))
    assert adata.obsm["spatial"] == pytest.approx(np.column_stack([x * 200, y * 200]))


def test_rows_without_names_take_the_order_of_the_spot_file(section):
    counts, spots, folder = section
    counts.to_csv(folder / "plain.txt", sep="\t", index=False)
    spots[["x", "y"]].to_csv(folder / "places.txt", sep="\t", index=False)
    given = Sample("st1", "st", str(folder / "plain.txt"), spots=str(folder / "places.txt"), mpp=75.0)
    adata = open_reader(given).read()
    assert list(adata.obs_names) == [str(i) for i in range(30)]
    assert (adata.X.toarray() == counts.to_numpy()).all()
    assert adata.obsm["spatial"] == pytest.approx(spots[["x", "y"]].to_numpy() * 75.0)


def test_counted_spots_without_a_place_are_dropped_and_noted(section):
    counts, spots, folder = section
    reader = open_reader(write((counts, spots.iloc[2:], folder)))
    adata = reader.read()
    assert adata.n_obs == 28
    assert [note["code"] for note in reader.notes] == ["barcodes_without_position"]


def test_hires_is_made_from_the_photograph(section):
    _, _, folder = section
    Image.fromarray(np.full((3000, 4000, 3), 180, np.uint8)).save(folder / "he.jpg")
    spatial = open_reader(write(section, image=str(folder / "he.jpg"))).read().uns["spatial"]["st1"]
    assert spatial["images"]["hires"].shape == (1500, 2000, 3)
    assert spatial["scalefactors"]["tissue_hires_scalef"] == 0.5


def _no_x(section):
    counts, spots, folder = section
    return write((counts, spots.rename(columns={"x": "col"}), folder))


def _twice(section):
    counts, spots, folder = section
    return write((counts, pd.concat([spots, spots.head(1)]), folder))


def _words(section):
    counts, spots, folder = section
    return write((counts, spots.assign(pixel_x="far"), folder))


def _text_counts(section):
    counts, spots, folder = section
    return write((counts.assign(GENE3="many"), spots, folder))


def _normalised(section):
    counts, spots, folder = section
    return write((np.log1p(counts), spots, folder))


def _cut(section):
    given = write(section)
    path = section[2] / "counts.tsv.gz"
    path.write_bytes(path.read_bytes()[:-60])
    return given


def _image_only(section):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(section[2] / "he.png")
    return write(section, spots=False, image=str(section[2] / "he.png"))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_no_x, "bad_positions"),
        (_twice, "duplicate_barcodes"),
        (_words, "bad_positions"),
        (_text_counts, "bad_matrix"),
        (_normalised, "not_counts"),
        (_cut, "unreadable_matrix"),
        (_image_only, "missing_positions"),
    ],
)
def test_bad_tables_say_what_to_mend(section, spoil, code):
    with pytest.raises(InputError, match="st1") as caught:
        open_reader(spoil(section)).read()
    assert caught.value.code == code
