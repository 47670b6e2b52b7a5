"""A real headless Chromium for page tests; absent, the tests are skipped and say so."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DESKTOP, PHONE = (1280, 900), (375, 812)
COLOURS = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const seen = new Map();
for (let i = 0; i < data.length; i += 4) {
  const key = `${data[i]},${data[i + 1]},${data[i + 2]}`;
  if (data[i + 3]) seen.set(key, (seen.get(key) ?? 0) + 1);
}
return [...seen];
"""


@contextmanager
def chromium(profile: Path) -> Iterator:
    """Yield a selenium driver whose console and network are logged; skip when there is no browser."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage"
    for flag in [*flags.split(), f"--user-data-dir={profile}", "--disable-background-networking"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield made
    finally:
        made.quit()


def open_page(driver, page: Path, size: tuple[int, int] = DESKTOP) -> None:
    """Open a page at a screen size; whole when it has loaded, so that a capture at once shows the tissue."""
    resize(driver, size)
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get(Path(page).resolve().as_uri())
    assert driver.execute_script("return document.documentElement.dataset.ready") == "yes"


def resize(driver, size: tuple[int, int]) -> None:
    """Give the page the screen of a desktop or a phone."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def console_errors(driver) -> list[str]:
    """What the console holds of warnings and errors, violations of the content policy among them."""
    return [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]


def requested(driver) -> set[str]:
    """Schemes of everything the page asked for that its content policy did not stop."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    by_kind = {"Network.requestWillBeSent": {}, "Network.loadingFailed": {}}
    for event in events:
        if event["method"] in by_kind:
            by_kind[event["method"]][event["params"]["requestId"]] = event["params"]
    sent, failed = by_kind.values()
    stopped = {key for key, params in failed.items() if params.get("blockedReason") == "csp"}
    return {params["request"]["url"].split(":")[0] for key, params in sent.items() if key not in stopped}


def overflow(driver) -> int:
    """Pixels by which the page is wider than the screen."""
    return driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


def whole_page(driver, output: Path) -> None:
    """Save a picture of the whole page."""
    import base64

    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    Path(output).write_bytes(base64.b64decode(shot["data"]))


def painted(driver, canvas: str = "tissue") -> dict[str, int]:
    """Opaque colours of a canvas and how many pixels each has, once the next frame is drawn."""
    driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 30));"
    )
    return dict(driver.execute_script(COLOURS, canvas))


def choose(driver, group: str, layer: str | None = None) -> None:
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("id", "colour-group")).select_by_visible_text(group)
    if layer:
        Select(driver.find_element("id", "colour-layer")).select_by_visible_text(layer)
