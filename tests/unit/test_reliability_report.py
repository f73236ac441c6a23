"""The report on `reliable` says "-" where there is nothing to say."""

from pathlib import Path

import numpy as np

from age_gender.vision.model_spec import load_spec
from tests.unit.models import MODELS
from tests.unit.test_training import make_prepared
from training.evaluated import Sample
from training.looks import EDITED, LISTED, QUALITIES, Looks
from training.reliability_report import write_report


def looks(rows: list[int], kinds: list[str]) -> Looks:
    """Faces so blurred that none is reliable."""
    count = len(rows)
    return Looks(
        np.array(rows),
        np.array(kinds),
        np.full((count, 101), 1 / 101, np.float32),
        np.full(count, 0.5, np.float32),
        np.zeros((count, 1792), np.float16),
        np.zeros((count, len(QUALITIES)), np.float32),
    )


def test_a_set_without_reliable_faces_has_dashes(tmp_path: Path) -> None:
    data = make_prepared(60)
    sets = np.array(["first"] * 30 + ["second"] * 30)
    sample = Sample(looks([*range(60)], ["clean"] * 60), data.labels, sets, np.ones(60, bool))
    empty = looks([-1, -2, -2], [LISTED, EDITED[LISTED], EDITED[LISTED]])
    left_out = {name: np.ones(30, bool) for name in ("first", "second")}
    write_report(tmp_path, load_spec(MODELS, "agn-v2"), sample, empty, left_out)
    written = (tmp_path / "reliability-agn-v2.md").read_text(encoding="utf-8")
    assert "nan" not in written
    assert "| first | 30 | 0.0 % | - / " in written
    assert "| listed, without people | 1 | 0.0 % | " in written
    assert "| listed-edited, without people | 2 | 0.0 % | " in written
    assert "| reliable | - |" in written
    assert " | 100.0 % |" in written
