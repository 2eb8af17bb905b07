"""A running service and Debian's Chromium to look at it with."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from service.app import create_app
from service.desk import Desk
from service.settings import Settings
from tests.service.pages.visits import LOCAL, bundled

__all__ = ["browser", "chromium", "served"]


@contextmanager
def served(settings: Settings = LOCAL) -> Iterator[str]:
    """The address of a service that runs in a thread for as long as the context."""
    app = create_app(settings, Desk(settings, bundled()))
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def chromium() -> str:
    """The path of the browser; ends the test as skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium (Debian package chromium), which is not here")
    return path


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium without its sandbox, which containers do not allow."""
    path = chromium()
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-lcd-text"])
        try:
            yield found
        finally:
            found.close()
