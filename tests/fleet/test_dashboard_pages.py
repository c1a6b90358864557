"""The pages in a real Chromium, over a real store."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,900"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    port, database = free_port(), tmp_path_factory.mktemp("store") / "telemetry.db"
    script = Path(__file__).with_name("dashboard_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(port), f"sqlite:///{database}"], stdout=subprocess.PIPE, text=True
    )
    try:
        WebDriverWait(process, 60).until(lambda _: _listens(port))
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*QUIET.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(DRIVER)))
    yield driver
    driver.quit()


def text_of(browser: webdriver.Chrome, url: str, expected: str) -> str:
    """Open a page and wait until it shows `expected`."""
    browser.get(url)
    body: Callable[[webdriver.Chrome], str] = lambda b: b.find_element(By.TAG_NAME, "body").text  # noqa: E731
    WebDriverWait(browser, 60).until(lambda b: expected in body(b))
    return body(browser)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ["car-1", "car-5", "STOP", "GO", "offline", "probation", "decisions", "stop-go v3"]),
        ("/device/car-1", ["raspberrypi4", "frame age", "Score of the chosen label", "switched"]),
        (
            "/device/car-1?span=week",
            ["Over time", "throttled: ", "spared by the agent", "v3 took over", "GiB", "p95 of the"],
        ),
        ("/device/car-2?span=no", ["Nothing was heard of its machine"]),
        (
            "/pictures/car-1",
            ["Pictures of car-1", "all 5 that it keeps", "score 0.530", "edge fleet pictures car-1"],
        ),
        ("/pictures/car-2", ["keeps its pictures to itself", "send: true"]),
        ("/rollouts", ["stop-go v2", "rolled back", "Score drift", "1.41", "left their own baseline by 1.48"]),
        ("/events", ["loop ended with signal 9", "car-1"]),
        ("/device/nobody", ["No device is called nobody"]),
    ],
)
def test_each_page_shows_what_it_promises(
    browser: webdriver.Chrome, server: tuple[str, Any], path: str, expected: list[str]
) -> None:
    text = text_of(browser, server[0] + path, expected[0])
    assert [word for word in expected if word not in text] == []


@pytest.mark.parametrize("part", [".ew-clock", ".ew-grid"])
def test_a_page_goes_on_by_itself(browser: webdriver.Chrome, server: tuple[str, Any], part: str) -> None:
    text_of(browser, server[0] + "/", "car-1")
    words = f"return document.querySelector('{part}').innerText"
    before = browser.execute_script(words)
    WebDriverWait(browser, 60).until(lambda b: b.execute_script(words) != before)


def test_a_page_that_no_browser_connects_to_is_let_go_of(tmp_path: Path) -> None:
    script = Path(__file__).with_name("abandoned_pages.py")
    done = subprocess.run(
        [sys.executable, str(script), f"sqlite:///{tmp_path / 'telemetry.db'}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    opened, held = map(int, done.stdout.split())
    assert (opened > 0, held) == (True, 0)


def test_a_devices_page_leads_to_its_pictures_and_they_can_be_seen(
    browser: webdriver.Chrome, server: tuple[str, Any]
) -> None:
    text_of(browser, server[0] + "/device/car-1", "kept pictures")
    browser.find_element(By.LINK_TEXT, "kept pictures").click()
    widths = "return [...document.images].map(image => image.naturalWidth)"
    WebDriverWait(browser, 60).until(lambda b: b.execute_script(widths) == [320] * 5)


def test_no_page_is_wider_than_a_phone(browser: webdriver.Chrome, server: tuple[str, Any]) -> None:
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
        )
        for path, expected in (
            ("/", "car-5"),
            ("/device/car-1", "Over time"),
            ("/events", "car-1"),
            ("/pictures/car-1", "v3"),
        ):
            text_of(browser, server[0] + path, expected)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, path
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_button_calls_the_api(browser: webdriver.Chrome, server: tuple[str, Any]) -> None:
    text_of(browser, server[0] + "/rollouts", "Pause")
    browser.find_element(By.XPATH, "//button[contains(., 'Pause')]").click()
    assert server[1].stdout.readline() == "pause r3\n"


def test_no_request_leaves_the_page(browser: webdriver.Chrome, server: tuple[str, Any]) -> None:
    browser.get_log("performance")
    text_of(browser, server[0] + "/", "car-1")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert len(urls) > 3
    assert [url for url in urls if not url.startswith((server[0], "data:", "blob:"))] == []
