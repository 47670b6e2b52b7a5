"""What the page shows of deconvolution: pies that add up, maps beside each other, doubts, labels that can be read."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import ImageColor

from reporting.browser import DESKTOP, PHONE, choose, console_errors, open_page, overflow, painted
from reporting.toy_tissue import LEVEL, LINEAGES, SAMPLE, TYPES, Toy
from tissuemake import contracts
from tissuemake.reporting.sample_page import report_sample
from tissuemake.reporting.type_layers import MAX_PIES, level_groups, type_colours, type_groups

pytestmark = pytest.mark.browser

# Pairs of words of one figure that lie on each other, and words that stick out of their figure.
CLASHES = """
document.querySelectorAll("details").forEach((more) => (more.open = true));
const found = [];
for (const figure of document.querySelectorAll("svg.figure")) {
  const words = [...figure.querySelectorAll("text")].filter((word) => word.textContent);
  const boxes = words.map((word) => word.getBoundingClientRect());
  const frame = figure.getBoundingClientRect();
  boxes.forEach((box, i) => {
    if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.bottom > frame.bottom + 3)
      found.push(`${figure.getAttribute("aria-label")}: ${words[i].textContent} sticks out`);
    for (let j = 0; j < i; j++) {
      const across = Math.min(box.right, boxes[j].right) - Math.max(box.left, boxes[j].left);
      const down = Math.min(box.bottom, boxes[j].bottom) - Math.max(box.top, boxes[j].top);
      if (across > 1.5 && down > 3)
        found.push(`${figure.getAttribute("aria-label")}: ${words[i].textContent} on ${words[j].textContent}`);
    }
  });
}
return found;
"""


def show_pure_colours(page) -> None:
    """No picture below, nothing shining through: a pixel is one colour of the legend."""
    page.execute_script("""
      document.getElementById("show-image").click();
      document.getElementById("opacity").value = 100;
      document.getElementById("opacity").dispatchEvent(new Event("input"));
    """)


def tooltips(page, canvas: str = "tissue", tip: str = "tooltip") -> set[str]:
    """Every text that hovering over a map brings up."""
    return set(
        page.execute_script(
            """
      const [canvas, tip] = [...arguments].map((id) => document.getElementById(id));
      const box = canvas.getBoundingClientRect();
      const found = new Set();
      for (let x = 5; x < box.width; x += 14)
        for (let y = 5; y < box.height; y += 14) {
          canvas.dispatchEvent(new PointerEvent("pointermove", {
            clientX: box.left + x, clientY: box.top + y, pointerType: "mouse", pointerId: 1 }));
          if (!tip.hidden) found.add(tip.innerText);
        }
      return [...found];
    """,
            canvas,
            tip,
        )
    )


def test_pies_have_the_areas_of_their_shares(page, toy):
    table = contracts.read_table(toy.proportions["sparank"], contracts.PROPORTIONS)
    tables = {m: contracts.read_table(p, contracts.PROPORTIONS) for m, p in toy.proportions.items()}
    choose(page, "Dominant type, sparank", "Pies")
    show_pure_colours(page)
    colours = {name: ",".join(map(str, ImageColor.getrgb(c))) for name, c in type_colours(tables).items()}
    seen = painted(page)
    pixels = {name: seen.get(colour, 0) for name, colour in colours.items()}
    for name in [*TYPES, contracts.UNKNOWN]:
        assert pixels[name] / sum(pixels.values()) == pytest.approx(table[name].mean(), abs=0.015), name
    assert any("unknown" in text and "%" in text for text in tooltips(page))
    choose(page, "Dominant type, sparank", "Dominant cell type")
    seen = painted(page)
    dots = sum(seen.get(colour, 0) for colour in colours.values())
    # A pie is whole, and reaches nearly to its neighbours: 0.94 of 160 pixels against a spot's 88.
    assert sum(pixels.values()) / dots == pytest.approx((0.94 * 160 / 88) ** 2, rel=0.06)


def test_pies_become_dots_where_slices_would_run_together(page):
    choose(page, "Dominant type, sparank", "Pies")
    show_pure_colours(page)
    pies = painted(page)
    for _ in range(12):
        page.find_element("id", "zoom-out").click()
    page.execute_script("document.getElementById('tissue').style.width = '70px';")
    page.execute_script("document.getElementById('tissue').style.height = '60px';")
    dots = painted(page)
    grey = ",".join(map(str, ImageColor.getrgb(type_colours({})[contracts.UNKNOWN])))
    assert pies.get(grey, 0) > 0
    assert sum(dots.values()) > 0
    assert dots.get(grey, 0) == 0  # dominant in no spot of the toy


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_labels_can_be_read(driver, toy_page, size):
    open_page(driver, toy_page, size)
    assert driver.execute_script(CLASHES) == []
    assert overflow(driver) <= 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize(
    "group",
    ["Cell types, nnls", "Uncertainty, sparank", "Unknown share, sparank", "RNA or image, sparank",
     "Agreement of sparank with nnls"],
)  # fmt: skip
def test_no_map_is_empty_beside_another(driver, toy_page, group, size):
    from selenium.webdriver.support.ui import Select

    open_page(driver, toy_page, size)
    choose(driver, "Cell types, sparank", TYPES[1])
    Select(driver.find_element("id", "beside-group")).select_by_visible_text(group)
    for canvas in ("tissue", "tissue-beside"):
        assert len(painted(driver, canvas)) > 10
    assert group in driver.find_element("id", "beside-title").text
    assert driver.find_element("id", "beside-legend").text
    assert overflow(driver) <= 0
    assert console_errors(driver) == []


def test_maps_beside_each_other_move_together_and_share_their_scale(page):
    from selenium.webdriver.support.ui import Select

    choose(page, "Cell types, sparank", TYPES[1])
    Select(page.find_element("id", "beside-group")).select_by_visible_text("Cell types, nnls")
    legends = [page.find_element("id", name).text for name in ("legend", "beside-legend")]
    assert legends[0].replace("≥ ", "") == legends[1].replace("≥ ", "")
    before = painted(page, "tissue-beside")
    page.find_element("id", "zoom-in").click()
    assert painted(page, "tissue-beside") != before
    names = {text.split("\n")[0] for text in tooltips(page)}
    assert names == {text.split("\n")[0] for text in tooltips(page, "tissue-beside", "beside-tooltip")}


def test_a_share_says_its_interval_and_leads_to_its_uncertainty(page, toy):
    choose(page, "Cell types, sparank", TYPES[1])
    table = contracts.read_table(toy.proportions["sparank"], contracts.PROPORTIONS)
    row = table.loc["SPOT0007-1"]
    low = max(0, row[TYPES[1]] - 1.645 * row[f"{TYPES[1]}_sd"])
    said = next(text for text in tooltips(page) if text.startswith("SPOT0007-1"))
    assert f"(90%: {low:.2g} to" in said
    choose(page, "Uncertainty, sparank")
    assert page.find_element("id", "legend-title").text == TYPES[1]
    choose(page, "Quality")
    assert page.find_element("id", "legend-title").text == "Total counts"


def test_a_page_without_a_pretrained_method_has_no_word_of_it(driver, toy, tmp_path):
    plain = {method: path for method, path in toy.proportions.items() if method != "sparank"}
    inputs = {**toy.report_inputs(), "proportions": plain}
    for name in ("attributions", "models", "markers"):
        inputs.pop(name)
    report_sample(SAMPLE, **inputs, output=tmp_path / "report.html")
    open_page(driver, tmp_path / "report.html")
    assert console_errors(driver) == []
    text = driver.find_element("tag name", "body").get_attribute("textContent")
    assert "model behind" not in text and "Uncertainty" not in text and "sparank" not in text


def test_forty_types_are_told_apart_in_lists_and_drawn(driver, tmp_path):
    toy = Toy(tmp_path / "toy", spots=40)
    names = [f"Type {i} with a rather long name" for i in range(40)]
    shares = pd.DataFrame(toy.rng.dirichlet([0.3] * 40, 40), index=toy.barcodes, columns=names)
    for method in ("nnls", "sparank"):
        contracts.write_table(
            shares.sample(40, axis=1, random_state=1), toy.proportions[method], contracts.PROPORTIONS
        )
    report_sample(SAMPLE, **toy.report_inputs(), output=tmp_path / "report.html")
    open_page(driver, tmp_path / "report.html", PHONE)
    choose(driver, "Dominant type, sparank", "Pies")
    assert len(driver.find_elements("class name", "class-key")) == 40
    assert len(painted(driver)) > 20
    assert driver.execute_script(CLASHES) == []
    assert overflow(driver) <= 0


def test_a_coarser_level_is_chosen_like_any_map_and_shows_the_sums(page, toy):
    choose(page, f"Cell types, sparank, {LEVEL}", "Immune")
    table = contracts.read_table(toy.proportions["sparank"], contracts.PROPORTIONS)
    immune = [name for name in TYPES if LINEAGES[name] == "Immune"]
    total = table.loc["SPOT0007-1", immune].sum()
    spread = 1.645 * table.loc["SPOT0007-1", [f"{name}_sd" for name in immune]].sum()
    said = next(text for text in tooltips(page) if text.startswith("SPOT0007-1"))
    low, high = map(float, re.search(r"\(90%: ([\d.]+) to ([\d.]+)\)", said).groups())
    assert (low, high) == pytest.approx((max(0, total - spread), min(1, total + spread)), abs=0.006)
    choose(page, f"Dominant type, nnls, {LEVEL}", "Pies")
    keys = [key.text for key in page.find_elements("class name", "class-key")]
    assert len(keys) == 3 and len(painted(page)) > 3
    assert overflow(page) <= 0
    assert console_errors(page) == []


def test_levels_come_after_the_fine_types_and_say_nothing_twice(toy):
    read = {m: contracts.read_table(path, contracts.PROPORTIONS) for m, path in toy.proportions.items()}
    groups = {group.label: group for group in level_groups(read, pd.Index(toy.barcodes))}
    assert list(groups) == [
        *(f"Dominant type, {method}, {LEVEL}" for method in read),
        *(f"Cell types, {method}, {LEVEL}" for method in read),
        f"Uncertainty, sparank, {LEVEL}",
    ]
    shares = {layer.label: layer for layer in groups[f"Cell types, sparank, {LEVEL}"].layers}
    immune = [name for name in TYPES if LINEAGES[name] == "Immune"]
    np.testing.assert_allclose(shares["Immune"].values, read["sparank"][immune].sum(axis=1))
    assert shares["Immune"].spread_in == f"Uncertainty, sparank, {LEVEL}"
    assert list(shares)[-1] == "unknown"
    assert "or more" in groups[f"Uncertainty, sparank, {LEVEL}"].note
    for table in read.values():
        table.attrs = {}
    assert level_groups(read, pd.Index(toy.barcodes)) == []


def test_pies_are_not_offered_where_nobody_could_read_them():
    def layers(spots: int) -> tuple[list[str], str]:
        index = pd.Index([f"s{i}" for i in range(spots)])
        table = pd.DataFrame({"A": 0.75, "B": 0.25}, index=index)
        groups = type_groups({"nnls": table}, index, type_colours({"nnls": table}))
        return [layer.label for layer in groups[0].layers], groups[0].note

    assert layers(MAX_PIES)[0] == ["Dominant cell type", "Pies"]
    names, note = layers(MAX_PIES + 1)
    assert names == ["Dominant cell type"]
    assert "too small to read" in note
