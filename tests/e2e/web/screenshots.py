"""Makes the pictures of what is seen in ``docs/img``: ``python -m tests.e2e.web.screenshots``."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from testing.photos import photo, portraits
from testing.service import ROOT, Service
from tests.e2e.web.browser import PAGE_TIMEOUT_MS, chromium, find_chromium, sign_in, upload
from tests.e2e.web.clips import camera_file

FOLDER = ROOT / "docs" / "img"


def main() -> None:
    """Take pictures of the page, with public-domain portraits, and of a contact sheet."""
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium on the path: install it, or name it in CHROMIUM")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "astronaut.png"
        file.write_bytes(photo("astronaut").data)
        camera = f"--use-file-for-fake-video-capture={camera_file(Path(temporary))}"
        with Service(Path(temporary) / "log") as service, chromium(executable, camera) as browser:
            shoot(browser, service.url, file, "page-light.png", (1280, 1000), "light")
            shoot(browser, service.url, file, "page-phone-dark.png", (390, 844), "dark")
            folder = Path(temporary) / "portraits"
            write_portraits(folder)
            shoot_gallery(browser, service.url, sorted(folder.iterdir()))
            shoot_camera(browser, service.url)
            shoot_sheet(browser, folder)


def shoot(
    browser: Browser, url: str, file: Path, name: str, size: tuple[int, int], scheme: str
) -> None:
    """Take one picture of the page with its answer, one face looked at."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size[0] < 500,
        is_mobile=size[0] < 500,
    )
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(url)
    sign_in(page)
    upload(page, file)
    page.hover(".face")
    page.mouse.wheel(0, -10_000)
    page.wait_for_timeout(500)  # the veil and the hover have faded
    save(page, name)
    context.close()


def write_portraits(folder: Path) -> None:
    """Write the public-domain portraits as files."""
    folder.mkdir()
    for portrait in portraits():
        (folder / f"{portrait.name.removesuffix('.jpg')}.jpg").write_bytes(portrait.data)


def shoot_gallery(browser: Browser, url: str, files: list[Path]) -> None:
    """Take a picture of the page with several pictures and their summary."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(url)
    sign_in(page)
    upload(page, *files)
    page.wait_for_selector("#progress", state="hidden")
    page.check("input[name=view][value=all]")
    page.wait_for_selector(".card-state:has-text('year')")
    save(page, "page-gallery.png")
    page.close()


def shoot_camera(browser: Browser, url: str) -> None:
    """Take a picture of the page that watches a camera."""
    page = browser.new_page(viewport={"width": 1280, "height": 760})
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(url)
    sign_in(page)
    page.click("#camera")
    page.click("#camera-live:enabled")
    page.wait_for_selector("#people li:nth-child(2)")
    page.wait_for_timeout(3000)  # the frame rate has settled
    save(page, "page-camera.png")
    page.close()


def shoot_sheet(browser: Browser, folder: Path) -> None:
    """Make a contact sheet of the public-domain portraits and take its picture."""
    sheet = folder / "sheet.html"
    command = [sys.executable, str(ROOT / "local_runner.py"), "predict", "."]
    subprocess.run([*command, "--sheet", sheet.name], cwd=folder, check=True)
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.goto(sheet.as_uri())
    save(page, "sheet.png")


def save(page: Page, name: str) -> None:
    """Save what a page shows in 256 colours, which are enough and keep the repository small."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    palette = image.quantize(256, kmeans=1)
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(
        FOLDER / name, optimize=True
    )
    print(f"{name}: {(FOLDER / name).stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
