"""The pipeline, with detectors and networks whose results are known."""

import io
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from age_gender.errors import ImageError, ImageTooLarge
from age_gender.limits.cpus import CpuShares
from age_gender.schema import PredictResponse, response_body
from age_gender.vision import decode as decode_module
from age_gender.vision import render
from age_gender.vision.attributes import AttributeEstimator
from age_gender.vision.decode import DecodedImage, EncodedImage
from age_gender.vision.detectors.base import Detections, Detector
from age_gender.vision.detectors.registry import DetectorName
from age_gender.vision.face import Face, FaceAttributes
from age_gender.vision.model_spec import Reliability
from age_gender.vision.pipeline import Options, Pipeline, Result
from age_gender.vision.stopwatch import Stopwatch
from age_gender.vision.verification import Faces
from age_gender.vision.view import ImageSource, View
from tests.unit.fakes import (
    FakeDetector,
    TrustingVerifier,
    detections,
    empty_result,
    estimator,
    spec,
)
from tests.unit.pictures import Pixels, decoded, encoded, noise

WIDTH, HEIGHT = 200, 120
AGE = 34
GREY = np.full((HEIGHT, WIDTH, 3), (AGE, 200, 90), np.uint8)
"""Every chip of it is predicted as 34 years old, and male with a probability of 200 / 255."""
DATA = encoded(GREY, "PNG")


def pipeline_of(
    detector: Callable[[DetectorName], Detector],
    attributes: Callable[[], AttributeEstimator] = estimator,
    cpus: CpuShares | None = None,
) -> Pipeline:
    return Pipeline(
        detector, attributes, TrustingVerifier, cpus=cpus or CpuShares(1), engine="litert"
    )


def encoded_image(data: bytes = DATA, **limits: int) -> EncodedImage:
    return EncodedImage(data, **{"max_bytes": 1 << 20, "max_pixels": 1 << 20} | limits)


def pipeline(detections: Detections, attributes: AttributeEstimator | None = None) -> Pipeline:
    detector = FakeDetector(detections)
    loaded = attributes or estimator()
    return pipeline_of(lambda _: detector, lambda: loaded)


def run(detections: Detections, data: bytes = DATA, **options: Any) -> Result:
    return pipeline(detections).run(encoded_image(data), Options(**options))


def attributes_of(face: Face) -> FaceAttributes:
    assert face.attributes is not None
    return face.attributes


@pytest.mark.parametrize("source", [encoded_image(), DecodedImage(GREY)])
def test_cpus_are_shared_with_the_images_in_progress(source: ImageSource) -> None:
    shares = CpuShares(4)
    threads: list[int] = []

    class WatchingDetector(FakeDetector):
        def detect(self, *args: Any, **kwargs: Any) -> Detections:
            threads.append(shares.threads)
            return super().detect(*args, **kwargs)

    found = detections((20, 20, 80, 80))
    made = pipeline_of(lambda _: WatchingDetector(found), cpus=shares)
    for others in range(2):
        with ExitStack() as stack:
            for _ in range(others):
                stack.enter_context(shares.prediction())
            made.run(source, Options())
    assert threads == [4, 2]
    assert shares.threads == 4


class TestBoxes:
    def test_boxes_are_clipped_whole_and_never_empty(self) -> None:
        detected = detections(
            (10.4, 20.6, 30.5, 40.4),
            (-50, -3, 20, 30),
            (150, 100, 900, 900),
            (50.2, 50.2, 50.4, 50.4),
            (199.6, 119.6, 300, 300),
            (-80, -80, 0.2, 0.2),
        )
        faces = run(detected, get_attributes=False).faces
        boxes = [face.box for face in faces]
        assert boxes[:3] == [(10, 21, 30, 40), (0, 0, 20, 30), (150, 100, 200, 120)]
        for x1, y1, x2, y2 in boxes:
            assert all(type(v) is int for v in (x1, y1, x2, y2))
            assert 0 <= x1 < x2 <= WIDTH
            assert 0 <= y1 < y2 <= HEIGHT

    def test_no_faces(self) -> None:
        result = run(detections())
        assert result.faces == []
        assert result.size == (WIDTH, HEIGHT)
        assert result.jpeg is not None

    def test_size_and_boxes_are_of_the_upright_image(self) -> None:
        exif = Pillow.Exif()
        exif[0x0112] = 6
        result = run(detections((0, 0, 500, 500)), encoded(GREY, "JPEG", exif=exif))
        assert result.size == (HEIGHT, WIDTH)
        assert result.faces[0].box == (0, 0, HEIGHT, WIDTH)

    def test_scores_and_landmarks_are_the_detectors(self) -> None:
        detected = detections((10, 10, 50, 50), (60, 10, 90, 50), landmarks=True)
        faces = run(detected).faces
        assert [face.confidence for face in faces] == pytest.approx([0.9, 0.6])
        assert detected.landmarks is not None
        landmarks = faces[1].landmarks
        assert landmarks is not None
        np.testing.assert_allclose(np.array(landmarks), detected.landmarks[1])


class TestOptions:
    def test_options_reach_the_detector(self) -> None:
        detector = FakeDetector(detections((20, 20, 80, 80)))
        asked: list[str] = []

        def named(name: str) -> FakeDetector:
            asked.append(name)
            return detector

        made = pipeline_of(named)
        made.run(
            encoded_image(), Options(face_detector="accurate", confidence=0.3, nms=0.2, min_face=55)
        )
        assert asked == ["accurate"]
        assert detector.asked == [(0.3, 0.2, 55)]

    def test_max_faces_keeps_the_largest_in_their_order(self) -> None:
        sides = [20, 50, 10, 40, 30]
        detected = detections(*[(i * 5, 0, i * 5 + side, side) for i, side in enumerate(sides)])
        kept = run(detected, max_faces=3).faces
        assert [face.box[2] - face.box[0] for face in kept] == [50, 40, 30]
        assert [face.confidence for face in kept] == pytest.approx(
            detected.scores[[1, 3, 4]].tolist()
        )
        assert len(run(detected, max_faces=5).faces) == len(run(detected, max_faces=99).faces) == 5

    def test_attributes(self) -> None:
        (face,) = run(detections((20, 20, 80, 80), landmarks=True)).faces
        attributes = attributes_of(face)
        assert attributes.age == pytest.approx(AGE)
        assert attributes.age_interval[0] <= AGE <= attributes.age_interval[1]
        assert attributes.gender == "M"
        assert attributes.gender_probability == pytest.approx(200 / 255, abs=0.01)
        assert attributes.quality.size == 60
        assert attributes.reliable is True

    def test_the_likelier_gender_and_its_probability(self) -> None:
        data = encoded(np.full((60, 60, 3), (20, 51, 0), np.uint8), "PNG")
        (face,) = run(detections((10, 10, 50, 50)), data).faces
        assert attributes_of(face).gender == "F"
        assert attributes_of(face).gender_probability == pytest.approx(0.8, abs=0.01)

    def test_each_face_gets_its_own_attributes(self) -> None:
        image = GREY.copy()
        image[:, 100:] = (77, 10, 0)
        detected = detections((20, 30, 60, 70), (130, 30, 170, 70), landmarks=True)
        left, right = map(attributes_of, run(detected, encoded(image, "PNG")).faces)
        assert [left.age, right.age] == pytest.approx([AGE, 77])
        assert [left.gender, right.gender] == ["M", "F"]

    def test_reliability_is_the_models(self) -> None:
        strict = estimator(spec(reliability=Reliability(min_size=50)))
        detected = detections((0, 0, 60, 60), (70, 0, 110, 60))
        faces = pipeline(detected, strict).run(encoded_image(), Options()).faces
        assert [attributes_of(face).reliable for face in faces] == [True, False]

    def test_without_attributes_the_faces_are_the_same(self) -> None:
        # The network for age and gender has a say in what is a face, asked for them or not.
        found = detections((20, 20, 80, 80))
        (without,) = run(found, get_attributes=False).faces
        (face,) = run(found).faces
        assert without == replace(face, attributes=None)
        assert face.attributes is not None

    def test_limits(self) -> None:
        with pytest.raises(ImageTooLarge):
            encoded_image(max_bytes=10)
        with pytest.raises(ImageTooLarge):
            encoded_image(max_pixels=WIDTH * HEIGHT - 1)
        with pytest.raises(ImageError):
            encoded_image(b"not an image")


class TestImage:
    BOX = (60, 40, 140, 100)

    def image(self, **options: Any) -> Pixels:
        data = encoded(noise(WIDTH, HEIGHT), "PNG")
        jpeg = run(detections(self.BOX), data, **options).jpeg
        assert jpeg is not None
        assert Pillow.open(io.BytesIO(jpeg)).format == "JPEG"
        return decoded(jpeg)

    @staticmethod
    def detail(image: Pixels) -> float:
        return float(cv2.Laplacian(image[55:85, 80:120].astype(np.float32), cv2.CV_32F).std())

    def test_no_image_unless_asked_for(self) -> None:
        assert run(detections(self.BOX), return_image=False).jpeg is None

    def test_unchanged(self) -> None:
        plain = self.image(draw=False)
        assert plain.shape == (HEIGHT, WIDTH, 3)
        # JPEG distorts noise, but two independent noise images would differ by 85 on average.
        assert np.abs(plain.astype(int) - noise(WIDTH, HEIGHT)).mean() < 60

    def test_drawn(self) -> None:
        plain, drawn = self.image(draw=False).astype(int), self.image().astype(int)
        changed = np.abs(plain - drawn).max(axis=-1) > 100
        assert changed[:, 60:140].any()
        # Within the box, off its lines, nothing is painted over.
        assert not changed[60:80, 80:120].any()

    def test_blurred(self) -> None:
        plain = self.detail(self.image(draw=False))
        assert self.detail(self.image(draw=False, blur=True)) < plain / 10
        assert self.detail(self.image(draw=True, blur=True)) < plain / 10

    def test_labels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        labels: list[list[str]] = []

        def spy(image: Pixels, boxes: Any, texts: list[str], *_: Any) -> Pixels:
            labels.append(texts)
            return image

        monkeypatch.setattr(render, "draw_faces", spy)
        run(detections(self.BOX))
        run(detections(self.BOX), get_attributes=False)
        assert labels == [["34 M"], ["90%"]]

    def test_near_duplicates_are_blurred_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        blurred: list[int] = []

        def count(image: Pixels, boxes: Any) -> Pixels:
            blurred.append(len(boxes))
            return image

        monkeypatch.setattr(render, "blur_faces", count)
        same = [(10.0, 10.0, 100.0 + i / 50, 100.0) for i in range(500)]
        run(detections(*same, (120.0, 20.0, 180.0, 90.0)), blur=True, nms=1.0, confidence=0.0)
        assert blurred == [2]


@pytest.mark.parametrize(
    ("scale", "smallest"), [(1.0, 16), (0.367, 44), (2.0, 8)], ids=["default", "large", "small"]
)
def test_the_smallest_face_looked_for_is_that_of_the_scale(scale: float, smallest: int) -> None:
    detector = FakeDetector(detections())
    detector.scale_for = lambda *_: scale  # type: ignore[method-assign]
    result = pipeline_of(lambda _: detector).run(encoded_image(), Options(return_image=False))
    assert result.smallest_face == smallest
    assert response_body(result)["smallest_face"] == smallest


class QuarterScaleDetector(FakeDetector):
    """Searches images at a quarter of their scale, and records the shapes it was given."""

    def __init__(self, detected: Detections):
        super().__init__(detected)
        self.shapes: list[tuple[int, ...]] = []

    def scale_for(self, _width: int, _height: int, _min_face: float | None) -> float:
        return 0.25

    def detect(self, image: Pixels, *args: Any, **kwargs: Any) -> Detections:
        self.shapes.append(image.shape[:2])
        return super().detect(image, *args, **kwargs)


class TestReducedDecoding:
    """Images are decoded at reduced size where that makes no difference."""

    SHAPE = (480, 640)
    LARGE = np.full((*SHAPE, 3), (AGE, 200, 90), np.uint8)
    JPEG = encoded(LARGE, "JPEG", quality=100, subsampling=0)

    @pytest.fixture(autouse=True)
    def large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(decode_module, "MIN_REDUCED_PIXELS", 480 * 640)

    @pytest.fixture
    def decoded_at(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        reductions: list[int] = []
        real = EncodedImage.view

        def view(image: EncodedImage, reduction: int = 1) -> View:
            reductions.append(reduction)
            return real(image, reduction)

        monkeypatch.setattr(EncodedImage, "view", view)
        return reductions

    def run(
        self, *boxes: tuple[float, ...], data: bytes = JPEG, **options: Any
    ) -> tuple[Result, QuarterScaleDetector]:
        detector = QuarterScaleDetector(detections(*boxes, landmarks=True))
        made = pipeline_of(lambda _: detector)
        asked = Options(**{"return_image": False, **options})
        return made.run(encoded_image(data), asked), detector

    def test_coordinates_are_those_of_the_full_image(self, decoded_at: list[int]) -> None:
        result, detector = self.run((20, 30, 120, 110), min_face=40)
        assert decoded_at == [4]
        assert detector.shapes == [(120, 160)]
        assert detector.asked[0][2] == 10
        assert result.size == (640, 480)
        (face,) = result.faces
        assert face.box == (80, 120, 480, 440)
        assert face.landmarks is not None
        assert face.landmarks[0] == pytest.approx((80 + 0.3 * 400, 120 + 0.4 * 320))
        assert attributes_of(face).quality.size == 320
        assert attributes_of(face).age == pytest.approx(AGE, abs=1)

    @pytest.mark.parametrize(
        ("side", "decoded"),
        # The chip's 64 pixels show 1.25 of the box, which is given in pixels of a quarter view.
        [(52, [4]), (50, [4, 2]), (26, [4, 2]), (25, [4, 1]), (5, [4, 1])],
    )
    def test_chips_are_never_cut_from_too_small_a_view(
        self, side: int, decoded: list[int], decoded_at: list[int]
    ) -> None:
        result, _ = self.run((10, 10, 80, 80), (85, 20, 85 + side, 20 + side))
        assert decoded_at == decoded
        ages = [attributes_of(face).age for face in result.faces]
        assert ages == pytest.approx([AGE, AGE], abs=1)

    def test_turned_looks_decode_no_size_twice(self, decoded_at: list[int]) -> None:
        tiny = QuarterScaleDetector(detections((20, 20, 30, 30), landmarks=True))

        class Doubting(TrustingVerifier):
            def verify(self, *args: Any) -> Faces:
                faces = super().verify(*args)
                unlikely = np.full(len(faces.verified), 0.1, np.float32)
                return replace(faces, verified=replace(faces.verified, scores=unlikely))

        made = Pipeline(lambda _: tiny, estimator, Doubting, cpus=CpuShares(1), engine="litert")
        assert made.run(encoded_image(self.JPEG), Options(return_image=False)).faces == []
        assert len(tiny.asked) == 4
        assert decoded_at == [4, 1]

    def test_only_requested_faces_need_chips(self, decoded_at: list[int]) -> None:
        self.run((10, 10, 80, 80), (20, 20, 30, 30), max_faces=1)
        self.run((20, 20, 30, 30), get_attributes=False)
        self.run()
        assert decoded_at == [4, 4, 4]

    def test_only_where_it_saves_time(
        self, decoded_at: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        progressive = encoded(self.LARGE, "JPEG", progressive=True)
        self.run(return_image=True)
        self.run(data=progressive)
        self.run(data=encoded(self.LARGE, "PNG"))
        monkeypatch.setattr(decode_module, "MIN_REDUCED_PIXELS", 480 * 640 + 1)
        self.run()
        assert decoded_at == [1] * 4
        self.run(data=progressive, get_attributes=False)
        assert decoded_at[4:] == [4]

    def test_upright(self) -> None:
        exif = Pillow.Exif()
        exif[0x0112] = 6
        result, detector = self.run((1, 2, 101, 112), data=encoded(self.LARGE, "JPEG", exif=exif))
        assert detector.shapes == [(160, 120)]
        assert result.size == (480, 640)
        assert result.faces[0].box == (4, 8, 404, 448)

    def test_decoding_twice_adds_up_to_one_stage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = EncodedImage.view

        def slowly(image: EncodedImage, reduction: int = 1) -> View:
            time.sleep(0.1)
            return real(image, reduction)

        monkeypatch.setattr(EncodedImage, "view", slowly)
        result, _ = self.run((20, 20, 30, 30))
        assert result.stages["decode"] >= 200


class TestStages:
    ALL = ("load", "decode", "detect", "align", "attributes", "render")

    def test_every_stage_is_timed(self) -> None:
        result = run(detections((20, 20, 80, 80)))
        assert tuple(result.stages) == self.ALL
        assert all(ms >= 0 for ms in result.stages.values())

    def test_stages_that_did_not_run_are_absent(self) -> None:
        result = run(detections((20, 20, 80, 80)), get_attributes=False, return_image=False)
        assert tuple(result.stages) == ("load", "decode", "detect", "align", "attributes")

    def test_inference_time_is_detection_and_attributes(self) -> None:
        stages = {name: 10.0**i for i, name in enumerate([*self.ALL, "verify"])}
        assert empty_result(stages=stages).inference_ms == pytest.approx(1011100)

    def test_times_of_a_stage_add_up_even_after_a_failure(self) -> None:
        watch = Stopwatch()
        with pytest.raises(ZeroDivisionError), watch.stage("a"):
            _ = 1 / 0
        first = watch.stages["a"]
        with watch.stage("a"):
            pass
        assert watch.stages["a"] >= first >= 0


class TestResponse:
    @pytest.mark.parametrize("landmarks", [True, False])
    @pytest.mark.parametrize("attributes", [True, False])
    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_rows_and_details_agree_and_match_the_schema(
        self, count: int, attributes: bool, landmarks: bool
    ) -> None:
        boxes = [(i * 60 + 3.4, 10.7, i * 60 + 50.2, 70.1) for i in range(count)]
        options = Options(get_attributes=attributes, confidence=0.3)
        made = pipeline(detections(*boxes, landmarks=landmarks))
        body = response_body(made.run(encoded_image(), options))
        answer = PredictResponse.model_validate(body)
        assert answer.model_dump(exclude_unset=True, mode="json") == body
        assert body["confidence"] == 0.3
        assert body["image_size"] == [WIDTH, HEIGHT]
        assert len(body["faces"]) == len(body["details"]) == count
        for row, details in zip(body["faces"], body["details"], strict=True):
            x1, y1, x2, y2, width, height, confidence, *rest = row
            assert all(type(v) is int for v in row[:6])
            assert [x1, y1, x2, y2] == details["box"]
            assert (width, height) == (x2 - x1, y2 - y1)
            assert confidence == details["confidence"]
            assert (details["landmarks"] is not None) == landmarks
            if attributes:
                assert rest == [AGE, "M"]
                assert type(rest[0]) is int
                assert details["gender"] == "M"
            else:
                assert rest == []
                assert "age" not in details

    def test_names_of_the_models(self) -> None:
        fast = response_body(run(detections()))["model"]
        assert (fast["detector"], fast["attributes"], fast["engine"]) == (
            *("dlib-hog", "fake 1"),
            "litert",
        )
        made = Pipeline(
            lambda _: FakeDetector(detections()),
            estimator,
            TrustingVerifier,
            cpus=CpuShares(1),
            engine="tensorflow",
        )
        options = Options(face_detector="accurate", get_attributes=False)
        accurate = response_body(made.run(encoded_image(), options))["model"]
        assert accurate["detector"] == "retinaface-v2"
        assert accurate["attributes"] is None
        assert accurate["engine"] == "tensorflow"
