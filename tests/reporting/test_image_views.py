"""What the page says of the stained image: maps at their true step, numbers that are right, licences that show."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import ImageColor

from reporting.browser import DESKTOP, PHONE, choose, chromium, console_errors, open_page, overflow, painted
from reporting.test_method_views import CLASHES, show_pure_colours
from reporting.toy_images import CLOSED, NOT_FREE, OPEN, STEP_UM, ImagedToy
from reporting.toy_tissue import HOSTILE_GENE, SAMPLE
from tissuemake import contracts
from tissuemake.errors import InputError
from tissuemake.reporting.from_image import Encoder, read_tumor, tile_flags
from tissuemake.reporting.palette import viridis
from tissuemake.reporting.sample_page import report_sample

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(driver, imaged_page):
    open_page(driver, imaged_page)
    return driver


def press(page, words: str) -> None:
    """Press the button whose text begins so."""
    button = next(
        b for b in page.find_elements("css selector", "button.show-map") if b.text.startswith(words)
    )
    page.execute_script("arguments[0].click()", button)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_can_be_read_and_asks_for_nothing(driver, imaged_page, size):
    open_page(driver, imaged_page, size)
    assert console_errors(driver) == []
    assert driver.execute_script(CLASHES) == []
    assert overflow(driver) <= 0
    html = imaged_page.read_text()
    assert len(html) < 300_000
    assert "<b>cancer" not in html and "<u>net" not in html and "<i>gated" not in html


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_buttons_show_both_maps_and_no_map_is_empty(driver, imaged_page, size):
    open_page(driver, imaged_page, size)
    for words, left, right in (
        ("Show on the tissue", "Tumour probability", "Tissue domains"),
        (
            f"Show {HOSTILE_GENE} beside its",
            f"Genes from the image alone, {OPEN}",
            f"Genes, measured: {HOSTILE_GENE}",
        ),
        ("Show GENE3 beside the measured", f"Genes, finer map, {OPEN}: GENE3", "Genes, measured: GENE3"),
    ):
        press(driver, words)
        assert driver.find_element("id", "map-title").text.startswith(left)
        assert driver.find_element("id", "beside-title").text.startswith(right)
        for canvas in ("tissue", "tissue-beside"):
            assert len(painted(driver, canvas)) > 10
        assert (
            driver.execute_script("return document.getElementById('tissue').getBoundingClientRect().top")
            < 100
        )
    assert overflow(driver) <= 0
    # The test itself reads the canvas often, which the browser remarks on.
    assert [error for error in console_errors(driver) if "willReadFrequently" not in error] == []


def test_a_finer_map_covers_the_tissue_without_gaps_or_overlaps(page, imaged):
    choose(page, f"Genes, finer map, {OPEN}", "GENE48")  # one value everywhere: one colour
    show_pure_colours(page)
    fine = contracts.read_anndata(imaged.highres[OPEN], contracts.HIGHRES)
    scale = page.execute_script("""
      const bar = document.getElementById("tissue");
      const { width, height } = bar;
      return [width, height];
    """)
    found = painted(page)
    colour, pixels = max(
        ((name, n) for name, n in found.items() if name in _ramp()), key=lambda item: item[1]
    )
    columns, rows = fine.obs["x"].nunique(), fine.obs["y"].nunique()
    box = page.execute_script(
        """
      const canvas = document.getElementById("tissue");
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const wanted = arguments[0].split(",").map(Number);
      const box = [Infinity, Infinity, -1, -1];
      for (let y = 0; y < canvas.height; y++)
        for (let x = 0; x < canvas.width; x++) {
          const i = 4 * (y * canvas.width + x);
          if (wanted.some((value, k) => data[i + k] !== value)) continue;
          box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
          box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
        }
      return box;
    """,
        colour,
    )
    width, height = box[2] - box[0], box[3] - box[1]
    assert width / height == pytest.approx(columns / rows, rel=0.02)
    assert pixels == width * height  # each pixel of the map has the one colour: no seam, no hole
    assert scale[0] > width > 0.5 * scale[0]


def _ramp() -> set[str]:
    return {",".join(map(str, ImageColor.getrgb(colour))) for colour in viridis(64)}


def hovered(page) -> dict[str, str]:
    """Place → value of what a coarse net of points over the map brings up."""
    return dict(
        page.execute_script("""
      const [canvas, tip] = ["tissue", "tooltip"].map((id) => document.getElementById(id));
      const box = canvas.getBoundingClientRect();
      const found = [];
      for (let x = 9; x < box.width; x += 26)
        for (let y = 9; y < box.height; y += 26) {
          canvas.dispatchEvent(new PointerEvent("pointermove", {
            clientX: box.left + x, clientY: box.top + y, pointerType: "mouse", pointerId: 1 }));
          if (!tip.hidden) found.push([...tip.children].map((part) => part.textContent));
        }
      return found;
    """)
    )


def test_a_place_says_whether_a_spot_covers_it(page):
    choose(page, f"Genes, finer map, {OPEN}", "GENE3")
    found = hovered(page)
    assert "between spots" in found
    assert sum(bool(re.fullmatch(r"inside SPOT\d+-1", place)) for place in found) > 5
    values = [float(re.search(r"GENE3: ([\d.]+)", text)[1]) for text in found.values()]
    assert 1 <= min(values) < 1.6 and 2.4 < max(values) <= 3
    assert page.find_element("id", "group-note").text.startswith(f"A value every {STEP_UM:.0f} µm")
    choose(page, "Genes, measured", "GENE3")
    assert not any("between" in place for place in hovered(page))


def test_measured_and_finer_colours_mean_the_same(page):
    press(page, "Show GENE3 beside the measured")
    ends = [page.find_element("id", name).text.split("\n")[1:] for name in ("legend", "beside-legend")]
    assert [end.replace("≥ ", "") for end in ends[0]] == [end.replace("≥ ", "") for end in ends[1]]


def test_tumour_is_on_the_scale_from_nothing_to_all(page, imaged):
    choose(page, "Tumour probability, from the image", CLOSED)
    assert page.find_element("css selector", "#legend .ticks").text.split("\n") == ["0", "0.50", "1"]
    found = {place: text.split(": ")[1] for place, text in hovered(page).items()}
    known = [place for place in found if place not in imaged.barcodes[-2:]]
    assert len(known) > 10
    for place in known:
        wanted = imaged.probability[imaged.barcodes.index(place)]
        assert float(found[place].split(" ")[0]) == pytest.approx(wanted, abs=0.01)
    assert all(found[place] == "no value" for place in set(found) - set(known))
    text = page.find_element("id", "image").text
    called = int((imaged.probability >= 0.5).sum())
    assert f"{called} of 58 spots have a probability of tumour" in text
    assert text.count("had seen their labels") == 1  # of the encoder whose head had
    assert "invasive <b>cancer</b>" in text and "without donor <s>d1</s>" in text


def test_predictions_from_the_image_are_called_that_and_not_imputed(page, imaged):
    image, rest = (page.find_element("id", name).text for name in ("image", "imputation"))
    assert f"Expression from the image alone, {OPEN}" in image
    assert "median r 0.35, depth-adjusted 0.20" in image
    assert "the cohort without donor <s>d1</s>" in image and "nothing is compared" not in image
    assert OPEN not in rest and "reference" in rest
    assert "average to what it measured, to < 0.001 of it" in image
    labels = [option.text for option in page.find_elements("css selector", "#colour-group option")]
    assert f"Genes from the image alone, {OPEN}" in labels and f"Genes, imputed by {OPEN}" not in labels
    ran = page.find_element("id", "provenance").text
    assert f"Expression from the image, {OPEN}" in ran and f"Tumour, {CLOSED}" in ran


def test_a_head_that_saw_the_donor_is_compared_with_nothing(driver, tmp_path):
    toy = ImagedToy(tmp_path / "toy")
    data = contracts.read_anndata(toy.imputed[OPEN], contracts.IMPUTED)
    data.var[["held_out_r", "held_out_r_depth_adjusted"]] = np.nan
    data.uns["tissuemake"] |= {"head": "all", "head_saw_donor": True}
    contracts.write_anndata(data, toy.imputed[OPEN], contracts.IMPUTED)
    report_sample(SAMPLE, **toy.report_inputs(), output=tmp_path / "report.html")
    open_page(driver, tmp_path / "report.html")
    image = driver.find_element("id", "image").text
    assert "25 genes predicted." in image and "nothing is compared with them" in image
    press(driver, "Show GENE")
    assert len(painted(driver)) > 10


def test_the_licence_of_weights_shows(page):
    rows = page.find_elements("css selector", "#image table.spoke tbody tr")
    row = {r.find_element("css selector", "td").text: r.text for r in rows}
    assert NOT_FREE in row[CLOSED] and "not for commercial use" in row[CLOSED]
    assert "not for commercial use" not in row[OPEN]


def test_tiles_of_no_use_are_counted(page, imaged):
    assert tile_flags(imaged.tiles) == {
        "record": {},
        "tiles": 60,
        "kinds": {"spot": 58, "grid": 2},
        "flags": [
            ("less than half of it tissue", 2),
            ("out of focus", 0),
            ("a tenth or more under pen", 1),
            ("folded", 1),
            ("of no use to train on", 4),
        ],
    }
    said = page.find_element("id", "quality").text
    assert "under pen 1" in said and "folded 1" in said


def test_what_was_watched_for_collapse_is_drawn(page):
    text = page.find_element("id", "models").text
    assert "spafoundation" in text
    for title in ("Entropy of the teacher", "Spread of the features", "Effective rank"):
        assert title in text
        figure = page.find_element("css selector", f'svg[aria-label="{title} by training step"]')
        assert len(figure.find_element("css selector", "path.curve-train").get_attribute("d")) > 100
    assert "over all images" in text
    assert len(page.find_elements("css selector", 'svg[aria-label^="Entropy"] path.curve-valid')) == 1


def test_without_an_image_the_page_has_no_word_of_it(driver, toy_page):
    open_page(driver, toy_page)
    text = driver.find_element("tag name", "body").get_attribute("textContent")
    for words in (
        "From the stained image",
        "from the image alone",
        "umour prob",
        "collapse",
        "Tiles of",
        "finer map",
    ):
        assert words not in text


def test_spots_without_a_place_are_counted(imaged):
    from tissuemake.reporting.image_section import finer

    fine = contracts.read_anndata(imaged.highres[OPEN], contracts.HIGHRES)
    spots = contracts.read_anndata(imaged.filtered, contracts.FILTERED)
    assert finer(OPEN, fine, spots)["spots"] == 60
    bare = fine[~fine.obs["spot"].isin(imaged.barcodes[:7])]
    found = finer(OPEN, bare, spots)
    assert (found["spots"], found["of"]) == (53, 60)
    assert found["step"] == STEP_UM and found["shown"] == found["genes"] == 3


def test_a_large_finer_map_keeps_the_page_small(tmp_path):
    toy = ImagedToy(tmp_path / "toy")
    fine = contracts.read_anndata(toy.highres[OPEN], contracts.HIGHRES)
    n = 200_000
    rows = np.arange(n) % fine.n_obs
    large = fine[rows].copy()
    large.obs_names = [f"p{i}" for i in range(n)]
    contracts.write_anndata(large, toy.highres[OPEN], contracts.HIGHRES)
    report_sample(SAMPLE, **toy.report_inputs(), output=tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 4_000_000


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [
        ("CC-BY-NC-4.0", True), ("cc-by-nc-nd-4.0", True), ("Owkin non-commercial", True),
        ("Apache-2.0", False), ("MIT", False), ("CC-BY-4.0", False), ("", False), ("academic research only", True),
    ],
)  # fmt: skip
def test_licences_are_read(licence, restricted):
    assert Encoder("net", 1, licence).restricted is restricted


def test_a_registry_that_says_so_is_believed():
    assert Encoder("net", 1, "own terms", {"commercial": False}).restricted
    assert not Encoder("net", 1, "CC-BY-NC-4.0, bought", {"commercial": True}).restricted


def test_a_probability_that_is_none_is_refused(tmp_path):
    table = pd.DataFrame({"probability": [0.5, 1.2]}, index=["a", "b"])
    contracts.write_table(table, tmp_path / "net.parquet", contracts.TUMOR)
    with pytest.raises(InputError, match="not between 0 and 1"):
        read_tumor(tmp_path / "net.parquet")
