"""The sample page in a real browser: it draws, it reacts, it fits, and nothing hostile runs."""

import re
import shutil

import pytest

from reporting.browser import (
    DESKTOP,
    PHONE,
    choose,
    console_errors,
    open_page,
    overflow,
    painted,
    requested,
    resize,
)
from reporting.toy_tissue import HOSTILE_GENE, SAMPLE, Toy
from tissuemake.reporting.sample_page import report_sample

pytestmark = pytest.mark.browser


def test_console_is_clean_and_nothing_is_requested(driver, toy_page):
    for size in (DESKTOP, PHONE):
        open_page(driver, toy_page, size)
        assert console_errors(driver) == []
        assert requested(driver) <= {"file", "data", "blob"}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_is_not_wider_than_the_screen(driver, toy_page, size):
    open_page(driver, toy_page, size)
    driver.execute_script("for (const more of document.querySelectorAll('details')) more.open = true;")
    assert overflow(driver) <= 0
    assert sum(painted(driver).values()) > 0.5 * size[0] * 200


def test_a_gene_changes_the_colours(page):
    before = painted(page)
    assert len(before) > 10
    choose(page, "Genes, measured", "GENE3")
    after = painted(page)
    assert after != before
    assert page.find_element("id", "legend-title").text == "GENE3"
    assert "CP10k" in page.find_element("css selector", "#legend .unit").text


@pytest.mark.parametrize(
    "group",
    [
        "Dominant type, nnls",
        "Cell types, nnls_rescaled",
        "Tissue domains",
        "Genes, imputed by reference",
        "Quality",
    ],
)
def test_each_group_draws(page, group):
    choose(page, group)
    assert len(painted(page)) > 10
    assert page.find_element("id", "legend").text


def test_spots_stand_on_their_tissue(page):
    """With the picture alone, the drawn dot of a spot is where the hover finds that spot."""
    page.execute_script("document.getElementById('opacity').value = 0;")
    page.execute_script("document.getElementById('opacity').dispatchEvent(new Event('input'));")
    painted(page)
    found = page.execute_script("""
      const canvas = document.getElementById("tissue");
      const context = canvas.getContext("2d");
      const box = canvas.getBoundingClientRect();
      const tip = document.getElementById("tooltip");
      let [dark, hit] = [0, 0];
      for (let x = 10; x < canvas.width - 60; x += 7)
        for (let y = 10; y < canvas.height - 60; y += 7) {
          const [r, g, b] = context.getImageData(x, y, 1, 1).data;
          if (Math.abs(r - 88) + Math.abs(g - 50) + Math.abs(b - 120) > 30) continue;
          dark++;
          canvas.dispatchEvent(new PointerEvent("pointermove", {
            clientX: box.left + x, clientY: box.top + y, pointerType: "mouse", pointerId: 1 }));
          if (!tip.hidden) hit++;
        }
      return [dark, hit];
    """)
    assert found[0] > 50
    assert found[1] == found[0]


def test_tooltip_names_the_spot_and_its_value(page):
    choose(page, "Quality", "Total counts")
    text = page.execute_script("""
      const canvas = document.getElementById("tissue");
      const box = canvas.getBoundingClientRect();
      const tip = document.getElementById("tooltip");
      for (let x = 5; x < box.width; x += 6)
        for (let y = 5; y < box.height; y += 6) {
          canvas.dispatchEvent(new PointerEvent("pointermove", {
            clientX: box.left + x, clientY: box.top + y, pointerType: "mouse", pointerId: 1 }));
          if (!tip.hidden) return tip.innerText;
        }
    """)
    assert re.search(r"(SPOT\d+-1|<b>spot</b>-0)\s+Total counts: [\d,]+ transcripts", text)


def test_zoom_and_pan_move_the_tissue(page):
    from selenium.webdriver.common.action_chains import ActionChains

    start = painted(page)
    page.find_element("id", "zoom-in").click()
    near = painted(page)
    assert near != start
    canvas = page.find_element("id", "tissue")
    ActionChains(page).drag_and_drop_by_offset(canvas, 90, 40).perform()
    assert painted(page) != near
    page.find_element("id", "zoom-fit").click()
    assert painted(page) == start


def test_a_class_can_be_seen_alone(page):
    choose(page, "Tissue domains")
    before = painted(page)
    page.find_element("css selector", ".class-key").click()
    assert painted(page) != before
    page.find_element("css selector", ".class-key").click()
    assert painted(page) == before


def test_hostile_names_are_text(page, toy_page):
    html = toy_page.read_text()
    assert html.count("<script") == 3  # scene, blob, the page's own
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert page.execute_script("return document.querySelectorAll('img[src=x], b, i, u, s').length") == 0
    choose(page, "Genes, measured", HOSTILE_GENE)
    assert page.find_element("id", "legend-title").text == HOSTILE_GENE


@pytest.mark.parametrize("observation", ["cell", "bin"])
def test_works_without_image_and_reference(driver, tmp_path, observation):
    toy = Toy(tmp_path / "toy", image=False, observation=observation, spots=300)
    inputs = {**toy.report_inputs(), "proportions": {}, "imputed": {}}
    report_sample(SAMPLE, **inputs, output=tmp_path / "report.html")
    open_page(driver, tmp_path / "report.html")
    assert console_errors(driver) == []
    assert len(painted(driver)) >= 3
    text = driver.find_element("tag name", "body").text
    assert "names no reference" in text
    assert "has no tissue image" in text


def test_policy_stops_what_escaping_would_have_let_through(driver, toy_page, tmp_path):
    """The page with a foreign script put in: the browser refuses it, so the policy is really in force."""
    broken = tmp_path / "broken.html"
    shutil.copy(toy_page, broken)
    evil = '<script>window.hacked = true</script><img src="https://example.invalid/x.png"></body>'
    broken.write_text(broken.read_text().replace("</body>", evil))
    open_page(driver, broken)
    assert not driver.execute_script("return window.hacked")
    assert any("Content Security Policy" in message for message in console_errors(driver))
    assert "https" not in requested(driver)


def test_dark_theme_draws_as_well(driver, toy_page):
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        open_page(driver, toy_page)
        back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert back == "rgb(20, 24, 27)"
        assert console_errors(driver) == []
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        resize(driver, DESKTOP)
