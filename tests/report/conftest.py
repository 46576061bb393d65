"""One headless Chromium for all tests of this folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1300",
)


class Page:
    """A report that is open in the browser."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path):
        self.driver.get(Path(path).as_uri())
        return self

    def js(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        return self.one(selector).text

    def picked(self):
        """The selected row of the mask, the selected position of the diagram, the heading of the facts."""
        rows = [element.get_attribute("id") for element in self.all("#mask .row.picked")]
        chips = [element.get_attribute("id") for element in self.all("#diagram .chip.picked")]
        return rows, chips, self.text("#details-heading")

    def said(self):
        return self.js("return document.getElementById('live').textContent")

    def keys(self, selector, *keys):
        self.js("document.querySelector(arguments[0]).focus()", selector)
        self.driver.switch_to.active_element.send_keys(*keys)

    def media(self, **features):
        told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": told})

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Addresses outside this machine's files that were requested since the last call and that no policy stopped."""
        told = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        stopped = {event["params"]["requestId"] for event in told if event["params"].get("blockedReason") == "csp"}
        sent = [event["params"] for event in told if event["method"] == "Network.requestWillBeSent"]
        asked = [event["request"]["url"] for event in sent if event["requestId"] not in stopped]
        return [address for address in asked if not address.startswith(("data:", "file:", "about:"))]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if not shutil.which(CHROMIUM) or not shutil.which(DRIVER):
        if os.environ.get("CI"):
            pytest.fail(f"install the Debian packages chromium and chromium-driver: {CHROMIUM} or {DRIVER} is missing")
        pytest.skip("no chromium and chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    """Nothing open; afterwards there are no complaints, and no network request was made."""
    browser.get("about:blank")
    found = Page(browser)
    found.errors(), found.requests()
    yield found
    found.media(prefers_color_scheme="light")
    assert found.errors() == []
    assert found.requests() == []
