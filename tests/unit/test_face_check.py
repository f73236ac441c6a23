"""The probability that a box is a face, and the fit behind it."""

import base64
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.errors import ModelUnavailable
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.detectors.base import Detections
from age_gender.vision.detectors.registry import DETECTORS
from age_gender.vision.face_check import (
    FEATURES,
    PARAMETERS,
    USUAL_DISTANCE,
    USUAL_OVERLAP,
    Evidence,
    FaceCheck,
    FaceCheckParameters,
    features,
    load_face_check,
    offsets,
)
from age_gender.vision.mesh import Meshes
from age_gender.vision.model_spec import FaceClassifiers, Linear
from age_gender.vision.orientation import Orientations
from tests.unit.fakes import FakeEngine, predicted_by_colour, spec
from training.boxes import MIN_SCORE, Boxes, Collector
from training.face_check import (
    FACE_SHARE,
    LESS,
    WHOLE_KIND,
    fit,
    fit_classifiers,
    report,
    sample_weights,
)
from training.scenes import VARIATIONS, Scene, Subject, Vary, small, texture

NAN = float("nan")


def evidence(
    score: float = 0.9,
    side: float = 100,
    visible: float = 1.0,
    own: float = 35,
    best: float | None = None,
    overlap: float = USUAL_OVERLAP,
    distance: float = USUAL_DISTANCE,
    embedding: float = NAN,
    second: float = NAN,
) -> Evidence:
    best = own if best is None else best
    row = (score, side, visible, own, best, overlap, distance, embedding, second)
    columns = [np.array([value], np.float32) for value in row]
    names = [f.name for f in fields(Evidence)]
    known = dict(zip(names, columns, strict=False))
    return Evidence(**known, turned=np.array([False]))


@pytest.fixture(scope="module")
def check() -> FaceCheck:
    return load_face_check()


@pytest.mark.parametrize("detector", list(DETECTORS))
class TestDelivered:
    def test_clear_faces_are_faces(self, check: FaceCheck, detector: str) -> None:
        for side in (50, 64, 100, 200, 500):
            for known in ({}, {"embedding": 6}, {"own": NAN, "embedding": 6}):
                (p,) = check.probabilities(detector, evidence(0.99, side, **known))
                assert p > 0.9

    def test_what_the_mesh_rejects_is_none_however_high_the_score(
        self, check: FaceCheck, detector: str
    ) -> None:
        for side in (64, 100, 200):
            (p,) = check.probabilities(detector, evidence(0.9, side, 1, -8, -7, 0.65, 0.2))
            assert p < 0.5

    def test_so_is_what_the_features_reject(self, check: FaceCheck, detector: str) -> None:
        for side in (64, 100, 200):
            for mesh in (NAN, 0.0):
                (p,) = check.probabilities(detector, evidence(0.9, side, own=mesh, embedding=-8))
                assert p < 0.5

    def test_what_the_second_detector_rejects_is_less_of_one(
        self, check: FaceCheck, detector: str
    ) -> None:
        for side in (50, 64, 100, 300):
            for mesh, embedding in ((-5, 3), (10, 0), (20, 2)):
                known = {"own": mesh, "embedding": embedding}
                animal, doubtful, face = (
                    check.probabilities(detector, evidence(0.9, side, **known, second=logit))[0]
                    for logit in (-3, -0.5, 1)
                )
                assert animal < doubtful < face

    def test_more_of_anything_is_more_of_a_face(self, check: FaceCheck, detector: str) -> None:
        by_mesh = [check.probabilities(detector, evidence(0.9, 90, 1, m))[0] for m in (12, 20, 30)]
        by_score = [
            check.probabilities(detector, evidence(s, 90, 1, 15))[0] for s in (0.3, 0.7, 0.99)
        ]
        by_features = [
            check.probabilities(detector, evidence(0.9, 90, own=own, embedding=e))[0]
            for own in (NAN, 15.0)
            for e in (-6, -1, 4)
        ]
        assert by_mesh == sorted(by_mesh)
        assert by_score == sorted(by_score)
        assert by_features[:3] == sorted(by_features[:3])
        assert by_features[3:] == sorted(by_features[3:])

    def test_of_tiny_faces_only_the_score_counts(self, check: FaceCheck, detector: str) -> None:
        unseen = check.probabilities(detector, evidence(0.9, 11, 1, NAN, NAN, NAN, NAN))[0]
        assert unseen == pytest.approx(0.9)
        for mesh in (-9, 30):
            for embedding in (NAN, -9, 9):
                tiny = evidence(0.9, 11, 1, mesh, embedding=embedding)
                assert check.probabilities(detector, tiny)[0] == unseen


def test_tiny_faces_are_as_good_as_their_score(check: FaceCheck) -> None:
    for side in (6, 9, 12):
        for score in (0.2, 0.5, 0.9):
            assert check.probabilities("accurate", evidence(score, side))[0] == pytest.approx(score)


def test_features() -> None:
    given = evidence(0.5, 64, 0.75, -20, 4, 0.6, 0.12, 3, -1.5)
    row = dict(zip(FEATURES["all"], features(given, "all")[0].tolist(), strict=True))
    assert row == pytest.approx(
        {
            "constant": 1,
            "score": 0,
            "size": 0,
            "mesh": 0.4,
            "mesh_size": 0,
            "mesh_low": 0.1,
            "turned": 2.0,
            "overlap": -0.4,
            "distance": 1.0,
            "cut_off": 0.25,
            "cut_off_mesh": 0.1,
            "embedding": 0.6,
            "embedding_size": 0,
            "second": -2.5,
            "second_size": 0,
            "cut_off_second": -0.625,
        }
    )
    for variant, names in FEATURES.items():
        chosen = [row[name] for name in names]
        assert features(given, variant)[0].tolist() == pytest.approx(chosen)


def test_the_regression_follows_from_what_is_known() -> None:
    known = [
        evidence(),
        evidence(own=NAN, embedding=1),
        evidence(embedding=1),
        evidence(own=NAN),
        evidence(embedding=1, second=-2),
        evidence(second=-2),
    ]
    expected = ["mesh", "embedding", "both", "mesh", "all", "mesh"]
    assert [e.variants[0] for e in known] == expected


def test_what_is_known_counts_by_size() -> None:
    trust = [float(evidence(side=side).trust[0]) for side in (8, 12, 24, 48, 400)]
    assert trust == pytest.approx([0, 0, 0.5, 1, 1], abs=0.01)
    assert evidence(own=NAN).trust[0] == 0
    assert not features(evidence(side=12), "mesh").any()
    assert offsets(evidence(0.5, 14))[0] == 0
    assert offsets(evidence(0.9, 12))[0] == pytest.approx(np.log(9))
    assert offsets(evidence(0.9, 64))[0] == pytest.approx(0, abs=1e-5)


def test_evidence_of_boxes_across_the_border() -> None:
    boxes = np.array([[-50, 0, 50, 100], [10, 10, 30, 60]], np.float32)
    nothing = np.full(2, NAN, np.float32)
    landmarks, turns = np.zeros((2, 5, 2), np.float32), np.zeros(2, np.intp)
    scores = np.array([0.9, 0.8], np.float32)
    collected = Evidence.of(Detections(boxes, scores), 200, 200)
    assert collected.visible.tolist() == [0.5, 1.0]
    assert collected.sides.tolist() == [100, 50]
    assert collected.trust.tolist() == [0, 0]
    one = np.array([7], np.float32)
    found = Orientations(landmarks[:1], one, one, one, nothing[:1], turns[:1])
    seen = collected.with_mesh(np.array([1]), found)
    assert np.isnan(seen.own[0])
    assert seen.own[1] == 7
    assert seen.variants.tolist() == ["mesh", "mesh"]


def test_evidence_of_features() -> None:
    def linear(*weights: float) -> Linear:
        halves = np.array(weights, "<f2").tobytes()
        return Linear(weights=base64.b64encode(halves).decode(), bias=-1.0)

    classifiers = FaceClassifiers(face=linear(2, 0), turned=linear(0, 4))
    embedding = np.array([[3, 0], [1, 1]], np.float32)
    boxes = np.array([[0, 0, 50, 50]] * 2, np.float32)
    bare = Evidence.of(Detections(boxes, np.array([0.9, 0.8], np.float32)), 200, 200)
    seen = bare.with_embedding(embedding, classifiers)
    assert seen.embedding.tolist() == [5, 1]
    assert seen.turned.tolist() == [False, True]
    for unknown in (bare.with_embedding(None, classifiers), bare.with_embedding(embedding, None)):
        assert np.isnan(unknown.embedding).all()
        assert not unknown.turned.any()


def test_infinite_scores_give_finite_features() -> None:
    for score in (0.0, 1.0):
        for variant in FEATURES:
            assert np.isfinite(features(evidence(score, 1, 0, NAN), variant)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"features": {"mesh": ["constant"]}},
        {"weights": {"accurate": {name: [0.0] * len(row) for name, row in FEATURES.items()}}},
        {"weights": {name: {"mesh": [0.0]} for name in ("fast", "accurate")}},
    ],
)
def test_parameters_for_something_else_are_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "face_check.json"
    path.write_text(json.dumps({**json.loads(PARAMETERS.read_bytes()), **change}))
    with pytest.raises(ModelUnavailable, match=r"face_check\.json"):
        load_face_check(path)


def test_missing_parameters_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"face_check\.json is missing"):
        load_face_check(tmp_path / "face_check.json")


# --- the fit -------------------------------------------------------------------------------------


def boxes_of(scores: list[float], faces: list[bool], groups: list[str]) -> Boxes:
    number = len(scores)
    one = evidence()
    repeated = one[np.zeros(number, np.intp)]
    with_scores = replace(repeated, scores=np.array(scores, np.float32))
    rng = np.random.default_rng(0)
    rows = {"net": rng.normal(np.array(faces)[:, None], 0.1, (number, 4)).astype(np.float16)}
    return Boxes(
        with_scores,
        *(np.array(faces), np.array(groups), np.arange(number), np.zeros(number, bool)),
        first=rows,
        final=rows,
    )


def test_faces_and_kinds_have_their_share() -> None:
    faces = [True] * 3 + [False] * 6
    groups = ["x as it is"] * 3 + ["cat"] * 4 + ["dog", "drawing"]
    weights = sample_weights(boxes_of([0.5] * 9, faces, groups))
    assert weights[:3].sum() == pytest.approx(FACE_SHARE)
    assert weights[3:7].sum() == pytest.approx(4 * weights[7])  # few count by their number
    assert weights[8] == pytest.approx(LESS * weights[7] * WHOLE_KIND)
    assert weights.sum() == pytest.approx(1)


def test_classifiers_tell_faces_and_turned_ones() -> None:
    count = 3000
    is_face = np.arange(count) % 3 > 0
    groups = np.where(is_face, "x", "cat").tolist()
    boxes = boxes_of([0.9] * count, is_face.tolist(), groups)
    turned = np.arange(count) % 4 == 0
    first = boxes.first["net"].copy()
    first[turned, 0] = -3
    boxes = replace(boxes, turned=turned, first={"net": first})
    classifiers = fit_classifiers(boxes, "net")
    seen = boxes.evidence.with_embedding(boxes.final["net"].astype(np.float32), classifiers)
    assert ((seen.embedding > 0.5) == boxes.faces).all()
    seen = boxes.evidence.with_embedding(first.astype(np.float32), classifiers)
    assert (seen.turned[boxes.faces] == turned[boxes.faces]).all()


def test_boxes_are_what_was_written(tmp_path: Path) -> None:
    boxes = boxes_of([0.5, 0.7], [True, False], ["a b", "c"])
    np.savez(tmp_path / "boxes.npz", **boxes.arrays())
    with np.load(tmp_path / "boxes.npz") as arrays:
        read = Boxes.of_arrays(arrays)
    assert read.evidence.scores.tolist() == boxes.evidence.scores.tolist()
    assert read.group.tolist() == ["a b", "c"]
    assert (read.final["net"] == boxes.final["net"]).all()


def test_the_fit_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([np.ones(4000), rng.normal(0, 1, 4000)], axis=1).astype(np.float32)
    truth = 1 / (1 + np.exp(-(0.5 + 1.5 * rows[:, 1])))
    base = np.full(4000, 0.2, np.float32)
    parameters = fit(rows, base, rng.random(4000) < truth, np.full(4000, 1 / 4000))
    assert parameters == pytest.approx([0.3, 1.5], abs=0.15)


def subject() -> Subject:
    image = np.full((200, 160, 3), 90, np.uint8)
    box = np.array([50, 60, 110, 140], np.float32)
    image[60:140, 50:110] = 250
    relative = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    return Subject(image, box, box[:2] + relative * (box[2:] - box[:2]))


@pytest.mark.parametrize("vary", [small, *VARIATIONS], ids=lambda vary: vary.__name__)
def test_variations_give_pictures(vary: Vary) -> None:
    for seed in range(6):
        scene = vary(subject(), np.random.default_rng(seed))
        assert scene.image.dtype == np.uint8
        assert scene.image.ndim == 3
        assert min(scene.image.shape[:2]) >= 16
        if scene.box is not None:
            assert (scene.box[2:] > scene.box[:2]).all()


def test_the_box_follows_the_face() -> None:
    for seed in range(5):
        scene = small(subject(), np.random.default_rng(seed))
        assert scene.box is not None
        x1, y1, x2, y2 = np.round(scene.box).astype(int)
        inner = scene.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
        assert np.median(inner) > 230


def test_only_the_best_box_on_a_face_and_all_on_none_are_collected() -> None:
    class Detector:
        name = "fake"

        def scale_for(self, *_: object) -> float:
            return 1.0

        def detect(self, _image: object, confidence: float, *_: object) -> Detections:
            assert confidence == MIN_SCORE
            boxes = [[10, 10, 50, 50], [100, 100, 140, 140], [30, 10, 70, 50]]
            return Detections(np.array(boxes, np.float32), np.full(3, 0.9, np.float32))

    class Mesh:
        def fit(self, _image: object, boxes: NDArray[np.float32], _angles: object) -> object:
            return Meshes(
                np.full(len(boxes), 20, np.float32), np.zeros((len(boxes), 468, 2), np.float32)
            )

    class Second:
        def logits(self, _image: object, boxes: NDArray[np.float32], _angles: object) -> object:
            return np.full(len(boxes), -1, np.float32)

    def embedded(batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        known = predicted_by_colour(batch)
        return {**known, "embedding": np.ones((len(batch), 3), np.float32)}

    networks = {"net": AttributeEstimator(FakeEngine(embedded), spec())}
    collector = Collector(Detector(), Mesh(), Second(), networks)  # type: ignore[arg-type]
    image = texture(160, 160, np.random.default_rng(0))
    collector.add(Scene(image, np.array([10, 10, 50, 50], np.float32)), "set kind", 1)
    collector.add(Scene(image, np.array([0, 100, 30, 130], np.float32)), "set kind", 2)
    collector.add(Scene(image, None), "cat", 3)
    found = Boxes.concatenated(collector.parts)
    assert found.faces.tolist() == [True, False, False, False]
    assert found.picture.tolist() == [1, 3, 3, 3]
    assert found.final["net"].shape == (4, 3)
    assert found.evidence.second.tolist() == [-1] * 4
    probabilities = np.array([0.9, 0.1, 0.1, 0.8], np.float32)
    assert "| set kind | yes | 1 | 100.0% | 100.0% |" in report(found, probabilities)
    assert "| cat | no | 3 | 100.0% | 33.3% |" in report(found, probabilities)


def test_parameters_name_data_and_licence() -> None:
    parameters = FaceCheckParameters.model_validate_json(PARAMETERS.read_bytes())
    assert parameters.licence == "Apache-2.0"
    assert "FairFace" in parameters.data
