"""Tables of the results: the measured sections of ``docs/tuning.md``."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markers import write_section
from benchmarks.report import table
from benchmarks.scenes import plots
from benchmarks.scenes.cases import LARGE, OUTSIDE, PORTRAIT, SIZES
from benchmarks.scenes.material import SETS, THINGS
from benchmarks.scenes.pictures import BORDERS
from benchmarks.scenes.services import DETECTORS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "scenes.json"

Results = dict[str, Any]
Row = dict[str, Any]

DRAWN = ("drawing", "cartoon", "statue")
"""Kinds of pictures without people that show human features."""
CLOSE = ("50", "70", "80", "90", "100", "120", "150")
UPSIDE_DOWN = tuple(str(degrees) for degrees in range(135, 226, 15))
SHOWN_TURNS = ("0", "45", "90", "135", "180", "225", "270", "315")
TITLES = {
    "unchanged": "a good look",
    "motion": "motion blur, 15 % of the face",
    "defocus": "out of focus",
    "overexposed": "overexposed four times",
    "underexposed": "underexposed, with noise",
    "mask": "a mask, drawn",
    "dark glasses": "dark glasses, drawn",
    "hand": "a hand, drawn",
}


class Columns:
    """One cell for each detector and service."""

    def __init__(self, results: Results):
        """Order them: before and now of `accurate`, then of `fast`."""
        self.results = results
        self.keys = [(detector, name) for detector in DETECTORS for name in results["services"]]

    def head(self, *first: str) -> list[str]:
        """The titles."""
        return [*first, *(f"`{detector}`: {name}" for detector, name in self.keys)]

    def cells(self, rows: Iterable[Row], render: Callable[[list[Row]], str]) -> list[str]:
        """Render the rows of each column."""
        chosen = list(rows)
        return [
            render([row for row in chosen if (row["detector"], row["service"]) == key])
            for key in self.keys
        ]

    def part(self, part: str, values: Iterable[str] | None = None) -> list[Row]:
        """Rows of a part, of some values or all."""
        wanted = None if values is None else set(values)
        return [
            row
            for row in self.results["rows"]
            if row["part"] == part and (wanted is None or row["value"] in wanted)
        ]


def share(counted: str, of: str) -> Callable[[list[Row]], str]:
    """Return how to render a share in all rows together."""

    def render(rows: list[Row]) -> str:
        return percent(sum(row[counted] for row in rows), sum(row[of] for row in rows))

    return render


def percent(part: float, whole: float) -> str:
    """Without decimals but for shares under 10 %; a dash for a share of nothing."""
    if not whole:
        return "-"
    return f"{part / whole:.1%}" if 0 < part / whole < 0.095 else f"{part / whole:.0%}"


def each(values: Sequence[str], counted: str, of: str) -> Callable[[list[Row]], str]:
    """Return how to render the same for each value, one after another."""

    def render(rows: list[Row]) -> str:
        by_value = {row["value"]: row for row in rows}
        cells = [percent(by_value[v][counted], by_value[v][of]) for v in values if v in by_value]
        return " / ".join(cell.removesuffix("%") for cell in cells) + " %" if cells else "-"

    return render


def kinds(results: Results) -> str:
    """Table of everything in short."""
    columns = Columns(results)
    without = columns.part("without people")
    features = [row for row in without if row["value"].split(",")[0] in DRAWN]
    others = [row for row in without if row not in features]
    unseen = [row for row in others if row["value"].endswith("unseen")]
    upside_down = [row for row in results["turns"] if row["value"] in UPSIDE_DOWN]
    half = [row for border in BORDERS for row in columns.part(border, ["50"])]
    by_border = [row | {"value": row["part"]} for row in half]
    exact, several = share("right", "pictures"), share("several", "pictures")
    any_box, reliable = share("any", "pictures"), share("reliable", "found")
    false = share("reliable_elsewhere", "pictures")
    lines: list[tuple[str, list[Row], Callable[[list[Row]], str]]] = [
        (
            f"exactly one face, {' / '.join(CLOSE)} % of the picture high",
            columns.part("size"),
            each(CLOSE, "right", "pictures"),
        ),
        ("several there", columns.part("size", CLOSE), several),
        ("1024 px, face 59-70 % high: exactly one", columns.part("portraits"), exact),
        ("several there", columns.part("portraits"), several),
        ("whole photos: clear faces found", columns.part("photos"), share("found", "faces")),
        ("upside down, 135°-225°: same gender, age", upside_down, share("same", "faces")),
        ("wrong and reliable there", upside_down, share("wrong", "faces")),
        (
            f"half outside, {' / '.join(BORDERS)}: found",
            by_border,
            each(tuple(BORDERS), "found", "faces"),
        ),
        ("half outside: reliable", half, reliable),
        ("animals and things with a box", others, any_box),
        ("of these, kinds not fitted on", unseen, any_box),
        ("animals and things: reliable boxes a picture", others, false),
        ("drawings, cartoons, a statue with a box", features, any_box),
        ("reliable boxes a picture", features, false),
    ]
    lines += [
        (f"{title}: found, reliable", columns.part("changed", [name]), _both_of_all)
        for name, title in TITLES.items()
    ]
    lines.append(
        ("masks: under 16 years", columns.part("changed", ["mask"]), share("under_16", "found"))
    )
    sets = " / ".join(SETS)
    lines += [
        (f"{sets}: reliable", results["labelled"], _shares_kept),
        ("times as many wrong genders in those left out", results["labelled"], _ratios("genders")),
        ("times the years off in those left out", results["labelled"], _ratios("years")),
    ]
    return table(
        columns.head("what"), [[title, *columns.cells(rows, how)] for title, rows, how in lines]
    )


def _both_of_all(rows: list[Row]) -> str:
    return f"{share('found', 'faces')(rows)}, {share('reliable', 'faces')(rows)}"


def cases(results: Results) -> str:
    """Table of real pictures with the right answers."""
    columns = Columns(results)
    rows = [
        [title, *columns.cells(results["cases"], lambda rows, key=key: _sum(rows, key))]  # type: ignore[misc]
        for title, key in (
            ("pictures", "pictures"),
            ("right in everything", "right"),
            ("duplicates", "duplicates"),
            ("reliable boxes on no face", "phantoms"),
        )
    ]
    return table(columns.head("real pictures that failed"), rows)


def _sum(rows: list[Row], key: str) -> str:
    return str(sum(row[key] for row in rows)) if rows else "-"


def close(results: Results) -> str:
    """Table by size."""
    columns = Columns(results)
    rows = [
        [f"{size} %", *columns.cells(columns.part("size", [str(size)]), _right_and_several)]
        for size in SIZES
    ]
    low, high = (round(100 * share) for share in PORTRAIT)
    portraits = columns.cells(columns.part("portraits"), _right_and_several)
    rows.append([f"{low}-{high} %, of 1024 pixels", *portraits])
    return table(columns.head("height of the face, share of the picture's"), rows)


def _right_and_several(rows: list[Row]) -> str:
    right, several = share("right", "pictures")(rows), share("several", "pictures")(rows)
    return right if several in ("0%", "-") else f"{right} ({several})"


def borders(results: Results) -> str:
    """Table by border and distance."""
    columns = Columns(results)
    rows = [
        [
            border,
            f"{outside} % outside" if outside >= 0 else f"{-outside} % away",
            *columns.cells(columns.part(border, [str(outside)]), _found_and_reliable),
        ]
        for border in BORDERS
        for outside in OUTSIDE
    ]
    return table(columns.head("border", "part of the face"), rows)


def _found_and_reliable(rows: list[Row]) -> str:
    return f"{share('found', 'faces')(rows)}, {share('reliable', 'found')(rows)}"


def turns(results: Results) -> str:
    """Table by angle."""
    columns = Columns(results)
    rows = []
    for degrees in SHOWN_TURNS:
        found = columns.cells(columns.part("turn", [degrees]), share("found", "faces"))
        compared = [row for row in results["turns"] if row["value"] == degrees]
        same = columns.cells(compared, share("same", "faces"))
        wrong = columns.cells(compared, share("wrong", "faces"))
        rows.append([f"{degrees}°", *map(", ".join, zip(found, same, wrong, strict=True))])
    return table(columns.head("turn"), rows)


def long(results: Results) -> str:
    """Table of large and long pictures."""
    columns = Columns(results)
    rows = []
    for name, _, pixels, _, _ in LARGE:
        cells = columns.cells(columns.part("large", [name]), _found_and_false)
        rows.append([name, pixels, *cells])
    return table(columns.head("picture", "height of the faces, pixels"), rows)


def _found_and_false(rows: list[Row]) -> str:
    others = sum(row["duplicates"] + row["elsewhere"] for row in rows)
    return share("found", "faces")(rows) + (f" ({others} more)" if others else "")


def without_people(results: Results) -> str:
    """Table of pictures without people, by kind."""
    columns = Columns(results)
    values = sorted({row["value"] for row in columns.part("without people")})
    rows = []
    for value in values:
        kind, _, seen = value.partition(", ")
        mine = columns.part("without people", [value])
        count = mine[0]["pictures"]
        fitted = "yes" if seen == "seen" else "no"
        cells = columns.cells(mine, _any_and_reliable)
        rows.append([f"{kind} (scikit-image)" if kind == THINGS else kind, fitted, count, *cells])
    return table(columns.head("kind", "fitted on", "pictures"), rows)


def _any_and_reliable(rows: list[Row]) -> str:
    reliable = share("reliable_elsewhere", "pictures")(rows)
    return f"{share('any', 'pictures')(rows)}, {reliable}"


def labelled(results: Results) -> str:
    """Table of labelled faces."""
    columns = Columns(results)
    rows = []
    for name in SETS:
        mine = [row for row in results["labelled"] if row["value"] == name]
        rows += [
            [name, "reliable", *columns.cells(mine, _kept)],
            [name, "gender wrong: reliable / left out", *columns.cells(mine, _genders)],
            [name, "years off: reliable / left out", *columns.cells(mine, _years)],
        ]
    return table(columns.head("set", ""), rows)


def _kept(rows: list[Row]) -> str:
    if not rows:
        return "-"
    (row,) = rows
    kept, left_out = row["reliable"]["faces"], row["left_out"]["faces"]
    return f"{percent(kept, kept + left_out)} of {kept + left_out}"


def _genders(rows: list[Row]) -> str:
    means = [row[which]["genders"] for row in rows for which in ("reliable", "left_out")]
    return " / ".join("-" if mean is None else f"{mean:.1%}" for mean in means) or "-"


def _years(rows: list[Row]) -> str:
    means = [row[which]["years"] for row in rows for which in ("reliable", "left_out")]
    return " / ".join("-" if mean is None else f"{mean:.1f}" for mean in means) or "-"


def _shares_kept(rows: list[Row]) -> str:
    by_set = {row["value"]: row for row in rows}
    return " / ".join(_kept([by_set[name]]).split(" of ")[0] for name in SETS if name in by_set)


def _ratios(error: str) -> Callable[[list[Row]], str]:
    """Return how to render the mean error of those left out, divided by that of the reliable.

    For each set, then over all faces left out, each divided by the mean of its own set.
    """

    def render(rows: list[Row]) -> str:
        by_set = {row["value"]: row for row in rows}
        known = [by_set[name] for name in SETS if name in by_set]
        ratios = [_ratio(row, error) for row in known]
        shown = ["-" if ratio is None else f"{ratio:.1f}" for ratio in ratios]
        counted = [
            (ratio, row["left_out"]["faces"])
            for ratio, row in zip(ratios, known, strict=True)
            if ratio is not None
        ]
        if not counted:
            return " / ".join(shown) or "-"
        total = sum(ratio * faces for ratio, faces in counted)
        return f"{' / '.join(shown)}; all {total / sum(faces for _, faces in counted):.1f}"

    return render


def _ratio(row: Row, error: str) -> float | None:
    kept, left_out = row["reliable"][error], row["left_out"][error]
    return None if not kept or left_out is None else left_out / kept


PARTS: dict[str, Callable[[Results], str]] = {
    "kinds": kinds,
    "cases": cases,
    "close": close,
    "borders": borders,
    "turns": turns,
    "long": long,
    "without people": without_people,
    "labelled": labelled,
}
"""Measured sections of ``docs/tuning.md``."""


def write(results: Results, docs: Path) -> None:
    """Write plots and tables.

    Args:
        results: of the measurement.
        docs: folder of the documents.
    """
    for name, render in PARTS.items():
        write_section(docs / "tuning.md", name, render(results))
    plots.draw(results, docs / "img" / "tuning")
