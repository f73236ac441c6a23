"""The report on `reliable` says "-" where there is nothing to say."""

from pathlib import Path

import numpy as np

from age_gender.vision.model_spec import load_spec
from tests.unit.models import MODELS
from tests.unit.test_training import make_prepared
from tests.unit.test_without_people import looks
from training.evaluated import Sample
from training.looks import EDITED, LISTED
from training.reliability_report import write_report

FEATURES = 1792
"""Of the network's embedding."""


def test_a_set_without_reliable_faces_has_dashes(tmp_path: Path) -> None:
    data = make_prepared(60)
    sets = np.array(["first"] * 30 + ["second"] * 30)
    sample = Sample(
        looks([*range(60)], ["clean"] * 60, FEATURES), data.labels, sets, np.ones(60, bool)
    )
    empty = looks([-1, -2, -2], [LISTED, EDITED[LISTED], EDITED[LISTED]], FEATURES)
    left_out = {name: np.ones(30, bool) for name in ("first", "second")}
    write_report(tmp_path, load_spec(MODELS, "agn-v2"), sample, empty, left_out)
    written = (tmp_path / "reliability-agn-v2.md").read_text(encoding="utf-8")
    assert "nan" not in written
    assert "| first | 30 | 0.0 % | - / " in written
    assert "| listed, without people | 1 | 0.0 % | " in written
    assert "| listed-edited, without people | 2 | 0.0 % | " in written
    assert "| reliable | - |" in written
    assert " | 100.0 % |" in written
