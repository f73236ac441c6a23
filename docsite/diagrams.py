"""Draws the documents' Mermaid diagrams: ``python -m docsite.diagrams mermaid.min.js``.

The drawings are committed, so that neither the site nor its build needs Mermaid. Its file comes
with the npm package ``mermaid`` (``npm pack mermaid``, in ``dist``); drawing needs Chromium, too.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from docsite.places import ROOT, pages
from docsite.render import DIAGRAMS, diagram_name

_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DRAW = """async (source) => {
  mermaid.initialize({ startOnLoad: false, theme: "neutral" });
  document.body.innerHTML = (await mermaid.render("diagram", source)).svg;
}"""
WIDTH = 800
"""Of a drawing, in CSS pixels: as wide as the text of a page."""


def main(arguments: list[str]) -> int:
    """Draw every diagram, and remove drawings whose source is gone."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    script = Path(arguments[0]).read_text(encoding="utf-8")
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in pages()]
    sources = [source for text in texts for source in _DIAGRAM.findall(text)]
    folder = ROOT / DIAGRAMS
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 800}, device_scale_factor=2)
        page.add_script_tag(content=script)
        for source in sources:
            path = folder / diagram_name(source)
            page.evaluate(_DRAW, source)
            page.locator("body > svg").screenshot(path=path)
            print(f"drew {path.relative_to(ROOT)}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
