"""Where the tests get a Chromium: the one named, else on PATH, else fetched by Playwright, else installed by apt.

`python -m tests.browser` does the same from the command line and prints the path.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from filelock import FileLock

from tests.debian import ANSWER_WITHIN, FETCH_WITHIN, install, run

ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MEND = (
    "The browser tests need one: install the package `chromium` (Debian: apt-get install chromium; "
    "Fedora: dnf install chromium; Ubuntu: snap install chromium) or set LOA_BROWSER to the path of one."
)

PLAYWRIGHTS_OWN = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


class NoBrowser(Exception):
    """No Chromium can be had; the text says what a person can do."""


@cache
def chromium() -> str:
    """Path of a Chromium that starts, fetching one when there is none. Raises NoBrowser."""
    if named := os.environ.get("LOA_BROWSER"):
        if _starts(named):
            return named
        raise NoBrowser(f"LOA_BROWSER names {named!r}, which does not start. {MEND}")
    with FileLock(Path(tempfile.gettempdir()) / "loa-browser.lock"):  # two test workers fetch one browser
        for found in _places():
            if _starts(found):
                return found
    raise NoBrowser(f"No Chromium could be found or fetched. {MEND}")


def _places() -> Iterator[str]:
    """Each next place costs more than the one before, so it is only asked when that one had nothing."""
    yield from _on_path()
    yield from _playwrights_own()
    run(sys.executable, "-m", "playwright", "install", "chromium", within=FETCH_WITHIN)
    yield from _playwrights_own()
    if install("chromium"):
        yield from _on_path()
        yield from _playwrights_own()  # it may have lacked only the libraries that came with the package


def _on_path() -> Iterator[str]:
    yield from filter(None, map(shutil.which, ON_PATH))


def _playwrights_own() -> Iterator[str]:
    # In a process of its own: Playwright's synchronous half refuses to run where an event loop runs.
    if path := run(sys.executable, "-c", PLAYWRIGHTS_OWN, within=ANSWER_WITHIN):
        yield path


def _starts(path: str) -> bool:
    """It runs: Ubuntu has a `chromium-browser` that only says where to get one, and a download may lack libraries."""
    return bool(run(path, "--version", within=ANSWER_WITHIN))


if __name__ == "__main__":
    try:
        sys.stdout.write(chromium() + "\n")
    except NoBrowser as error:
        sys.exit(str(error))
