"""A real browser that opens the pages Mainstay makes: Debian's Chromium, which `bin/browser` installs, or another on PATH."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.programs import installed

OPTIONS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program(name: str) -> str:
    """Return the path of `chromium` or `chromedriver`, or skip the test."""
    return installed(name, installer="bin/browser", required_by="BROWSER")


class Browser:
    """Opens files, as wide as is asked, by day or by night. `driver` is Selenium's."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1400, scheme: str = "light") -> None:
        """Show a file in a window that is `width` CSS pixels wide. What was logged before is forgotten."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
        self.complaints()
        self.events()
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: str) -> Any:
        """Return what a script returns. It is the test's: the page's policy does not hold it up."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Return what the console has had since this was last asked: errors, and what the page's policy forbade."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the DevTools protocol since this was last asked: requests, dialogs, navigation."""
        return [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """Start a browser whose profile is an empty folder, and end it."""
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(executable_path=program("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
