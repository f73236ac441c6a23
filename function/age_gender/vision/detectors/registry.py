"""The face detectors, by the name that requests and settings use.

To add one, write its module and add a line to `DETECTORS`. The module needs a function
``create(load_engine, threads) -> Detector``. It is imported on first use only, because it may bring
a large library; this module stays light, as settings and the command line read it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from age_gender.networks.engine import Engine
    from age_gender.vision.detectors.base import Detector


@dataclass(frozen=True)
class DetectorInfo:
    """What is known of a detector without importing it.

    Attributes:
        module: in this package.
        label: what responses call it.
        summary: for the API's description.
        default_min_face: smallest face detected by default, pixels of an image of ordinary size.
        turns: clockwise quarter turns of the content of an image that are undone, one after the
            other, where it shows no face as it is.
        turned_size: longer side of an image over that of the smallest face searched for in these;
            less is cheaper.
        networks: model files that it needs, without suffix.
    """

    module: str
    label: str
    summary: str
    default_min_face: int
    turns: tuple[int, ...]
    turned_size: int
    networks: tuple[str, ...] = ()


DETECTORS = {
    "fast": DetectorInfo("hog", "dlib-hog", "dlib HOG", 40, turns=(2, 1, 3), turned_size=8),
    "accurate": DetectorInfo(
        "retinaface",
        "retinaface-v2",
        "RetinaFace, which finds far more faces",
        16,
        turns=(2, 1, 3),  # it finds only nine of ten faces that lie on their side
        turned_size=16,
        networks=("retinaface",),
    ),
}

FACE_MESH = "facemesh"
"""Model file, without suffix, of the network that verifies the faces of every detector."""
SECOND_DETECTOR = "blazeface"
"""Likewise, of the one that is asked where there is still a doubt."""
VERIFYING = (FACE_MESH, SECOND_DETECTOR)


def required_networks(attribute_model: str) -> list[str]:
    """Model files that predictions need, without suffix.

    Args:
        attribute_model: that of the network for age and gender.
    """
    detectors = (name for info in DETECTORS.values() for name in info.networks)
    return [attribute_model, *detectors, *VERIFYING]


if TYPE_CHECKING:
    DetectorName = str
else:
    DetectorName = Literal[tuple(DETECTORS)]
    """One of `DETECTORS`, as pydantic checks it."""


def as_name(given: Any) -> Any:
    """Return a detector's name as `DETECTORS` has it, however it is capitalised.

    What is no text is returned as it is, for its validator to refuse.
    """
    return given.lower() if isinstance(given, str) else given


def load_detector(
    name: DetectorName, load_engine: "Callable[[str], Engine]", threads: int
) -> "Detector":
    """Load a detector.

    Args:
        name: one of `DETECTORS`.
        load_engine: loads a network by the name of its model file, without suffix.
        threads: for detectors that bring no engine.

    Raises:
        ModelUnavailable: a model file is missing or damaged.
    """
    module = import_module(f"{__package__}.{DETECTORS[name].module}")
    detector: Detector = module.create(load_engine, threads)
    return detector
