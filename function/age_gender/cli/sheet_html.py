"""A contact sheet as one self-contained HTML file: no scripts, no requests."""

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from age_gender.cli.text import percent, plural
from age_gender.cli.tiles import Sheet, histogram
from age_gender.vision.render import COLOURS


def render_html(sheet: Sheet) -> bytes:
    """Build the file. Names are escaped, thumbnails are ``data:`` URLs."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    environment.filters["percent"] = lambda p: percent(p).replace("%", " %")
    bars = histogram(sheet.tiles)
    text = environment.get_template("sheet.html").render(
        summary=sheet.summary,
        failed=f"{plural(sheet.failed, 'file')} could not be read." if sheet.failed else "",
        colours={gender: f"rgb{colour}" for gender, colour in COLOURS.items()},
        bars=bars,
        max_count=max(1, *(bar.women + bar.men for bar in bars)),
        women=sum(bar.women for bar in bars),
        men=sum(bar.men for bar in bars),
        tiles=sheet.tiles,
    )
    return text.encode()
