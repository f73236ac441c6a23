"""Fields without effect are named, and the one that was meant."""

import pytest

from age_gender.edge import ignored
from age_gender.edge.ignored import MAX_NAME_LENGTH, MAX_NAMED, check_ignored, nearest
from age_gender.edge.problems import Problem
from age_gender.schema import PredictRequest


def fields(**given: object) -> PredictRequest:
    return PredictRequest.model_validate(given)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("detector", "face_detector"),
        ("faceDetector", "face_detector"),
        ("face-detector", "face_detector"),
        ("Confidence", "confidence"),
        ("confidance", "confidence"),
        ("returnImage", "return_image"),
        ("attributes", "get_attributes"),
        ("minFace", "min_face"),
        ("max_face", "max_faces"),
        ("image", "b64"),
        ("threshold", "confidence"),
        ("file", None),
        ("colour", None),
        ("", None),
        ("x" * 1_000_000, None),
    ],
)
def test_the_nearest_name(name: str, meant: str | None) -> None:
    assert nearest(name) == meant


def test_nothing_is_said_of_what_counts() -> None:
    assert check_ignored(fields(b64="AAAA", nms=0.1, strict=True, url=None)) == []


def test_unknown_fields_are_named() -> None:
    assert check_ignored(fields(detector="accurate", colour=None)) == [
        "ignored: 'detector' is unknown; did you mean 'face_detector'?",
        "ignored: 'colour' is unknown",
    ]


def test_strict_requests_are_refused() -> None:
    with pytest.raises(Problem) as caught:
        check_ignored(fields(detector="accurate", strict=True), {"nms": "0.1"})
    assert caught.value.status == 422
    assert [error.field for error in caught.value.errors] == ["detector", "nms"]
    assert "did you mean 'face_detector'?" in caught.value.detail


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"draw": "false"}, True),
        ({"draw": "perhaps"}, True),
        ({"detector": "fast"}, True),
        ({"draw": "true", "nms": "0.5", "face_detector": "Fast", "max_faces": ""}, False),
    ],
)
def test_a_query_beside_a_body_with_fields(query: dict[str, str], named: bool) -> None:
    """Unless it only repeats defaults, as generated clients do."""
    warnings = check_ignored(fields(), query)
    assert bool(warnings) == named
    assert all("is in the query" in warning for warning in warnings)


@pytest.mark.defends("unknown-fields")
def test_only_the_names_that_are_shown_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr(ignored, "nearest", compared.append)
    check_ignored(fields(**dict.fromkeys(map(str, range(5000)), 1)), {"a": "1"})
    assert len(compared) == MAX_NAMED


def test_many_and_long_names_are_bounded() -> None:
    many = fields(**{f"{i}{'y' * 100_000}": 1 for i in range(300)})
    *warnings, last = check_ignored(many)
    assert len(warnings) == MAX_NAMED
    assert max(map(len, warnings)) < MAX_NAME_LENGTH + 50
    assert last == "ignored: 290 more"
