"""A real headless Chromium for page tests; absent, the tests are skipped and say so."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DESKTOP, PHONE = (1280, 900), (375, 812)


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
