"""Makes the pictures of the demo page in ``docs/img``: ``python -m tests.e2e.web.screenshots``."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from tests.e2e.web.browser import PAGE_TIMEOUT_MS, chromium, find_chromium, sign_in, upload
from tests.photos import photo
from tests.service import ROOT, Service

FOLDER = ROOT / "docs" / "img"


def main() -> None:
    """Start the service, open the page with a public-domain portrait, and take the pictures."""
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium on the path: install it, or name it in CHROMIUM")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        picture = Path(temporary) / "astronaut.png"
        picture.write_bytes(photo("astronaut").data)
        with Service(Path(temporary) / "log") as service, chromium(executable) as browser:
            shoot(browser, service.url, picture, "page-light.png", (1280, 1000), "light")
            shoot(browser, service.url, picture, "page-phone-dark.png", (390, 844), "dark")


def shoot(
    browser: Browser, url: str, picture: Path, name: str, size: tuple[int, int], scheme: str
) -> None:
    """Take one picture of the page with its answer, one face looked at."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size[0] < 500,
    )
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(url)
    sign_in(page)
    upload(page, picture)
    page.hover(".face")
    page.mouse.wheel(0, -10_000)
    page.wait_for_timeout(500)  # the veil and the hover have faded
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    # 256 colours, well chosen and dithered, are enough and keep the repository small.
    palette = shot.quantize(256, kmeans=1)
    shot.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(
        FOLDER / name, optimize=True
    )
    print(f"{name}: {(FOLDER / name).stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
