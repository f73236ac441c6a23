"""Requests to options and pictures."""

import base64
import json
import re
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from age_gender.edge import inputs, not_json
from age_gender.edge.problems import STATUSES, Problem
from age_gender.errors import AgeGenderError
from age_gender.fetch import urls
from age_gender.schema import PredictRequest
from age_gender.settings import Settings
from age_gender.vision.pipeline import Options
from tests.unit.pictures import encoded, marked, noise
from tests.unit.profile import examples

PICTURE = bytes(range(256))
B64 = base64.b64encode(PICTURE).decode()
BOUNDARY = "frontier"


def read(
    data: bytes, content_type: str | None = "application/json", query: str = ""
) -> tuple[PredictRequest, bytes]:
    environ = EnvironBuilder(method="POST", query_string=query).get_environ()
    if content_type is not None:
        # Past the builder, which would give a form a boundary of its own.
        environ["CONTENT_TYPE"] = content_type
    fields, picture = inputs.read_request(Request(environ), data, Settings())
    if picture is None:
        picture = urls.from_url(fields.url or "", Settings())
    return fields, picture


def read_json(**fields: Any) -> tuple[PredictRequest, bytes]:
    return read(json.dumps(fields).encode())


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content
        for disposition, content in parts
    ]
    return b"\r\n".join([*lines, f"--{BOUNDARY}--\r\n".encode()])


def read_form(*parts: tuple[str, bytes], query: str = "") -> tuple[PredictRequest, bytes]:
    return read(form(*parts), f"multipart/form-data; boundary={BOUNDARY}", query)


IMAGE_PART = ('name="image"; filename="a.jpg"', PICTURE)


def refused(code: str, data: bytes, content_type: str | None = "application/json") -> Problem:
    with pytest.raises(Problem) as caught:
        read(data, content_type)
    assert caught.value.code == code
    return caught.value


def test_defaults() -> None:
    fields, _ = read_json(b64=B64)
    assert fields.model_dump(exclude={"b64"}) == {
        "confidence": 0.5,
        "nms": 0.5,
        "draw": True,
        "face_detector": "fast",
        "get_attributes": True,
        "return_image": True,
        "url": None,
        "blur": False,
        "max_faces": None,
        "min_face": None,
        "over_age": (),
        "detect": True,
        "image_max_side": None,
        "strict": False,
    }
    assert fields.options == Options()


ALL_FIELDS = {
    "confidence": 0.25,
    "nms": 0.75,
    "draw": False,
    "face_detector": "accurate",
    "get_attributes": False,
    "return_image": False,
    "blur": True,
    "max_faces": 3,
    "min_face": 20,
    "detect": False,
    "image_max_side": 640,
}


AS_TEXT = {name: str(value) for name, value in ALL_FIELDS.items()}
OPTIONS = Options(**ALL_FIELDS)  # type: ignore[arg-type]


class TestOverAge:
    def ways(self, *texts: str) -> list[tuple[int, ...]]:
        query = "&".join(f"over_age={text}" for text in texts)
        parts = [('name="over_age"', text.encode()) for text in texts]
        return [
            read(PICTURE, "image/png", query)[0].over_age,
            read_form(IMAGE_PART, *parts)[0].over_age,
            read_form(IMAGE_PART, query=query)[0].over_age,
        ]

    @pytest.mark.parametrize("texts", [("18,25",), ("18", "25"), ("25, 18",), ("25,18", "18")])
    def test_forms_and_queries_repeat_it_or_use_commas(self, texts: tuple[str, ...]) -> None:
        assert self.ways(*texts) == [(18, 25)] * 3

    @pytest.mark.parametrize("given", [[18, 25], [25, 18, 25], ["18", 25], "18,25"])
    def test_json(self, given: object) -> None:
        fields, _ = read_json(b64=B64, over_age=given)
        assert fields.options.over_age == (18, 25)

    def test_none_is_the_default(self) -> None:
        """As an empty list, which is what the OpenAPI description calls the default."""
        assert read_json(b64=B64, over_age=[])[0].options == Options()

    @pytest.mark.parametrize("given", [1, 100, [1, 100], list(range(20, 28))])
    def test_within_bounds(self, given: object) -> None:
        read_json(b64=B64, over_age=given)

    @pytest.mark.parametrize(
        "given", [0, 101, -1, list(range(20, 29)), 18.5, "x", ["18", ""], True, [18, True]]
    )
    def test_out_of_bounds(self, given: object) -> None:
        problem = refused("invalid-field", json.dumps({"b64": B64, "over_age": given}).encode())
        assert problem.errors[0].field.startswith("over_age")


NUMBERS = ["confidence", "nms", "max_faces", "min_face", "image_max_side", "over_age"]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_boolean_is_no_number(name: str, value: bool) -> None:
    body = json.dumps({"b64": B64, name: value}).encode()
    (error,) = refused("invalid-field", body).errors
    assert error.field.split(".")[0] == name
    assert "not true or false" in error.message
    text = str(value).lower()
    with pytest.raises(Problem, match=name):
        read(PICTURE, "image/png", f"{name}={text}")
    with pytest.raises(Problem, match=name):
        read_form(IMAGE_PART, (f'name="{name}"', text.encode()))


def test_all_numbers_are_tried_with_booleans() -> None:
    properties = PredictRequest.model_json_schema()["properties"]
    numbers = [
        name for name, schema in properties.items() if re.search("integer|number", str(schema))
    ]
    assert sorted(numbers) == sorted(NUMBERS)


class TestAllWaysToSendAPicture:
    def test_json(self) -> None:
        fields, encoded = read_json(b64=B64, **ALL_FIELDS)
        assert (fields.options, encoded) == (OPTIONS, PICTURE)

    def test_form(self) -> None:
        parts = [(f'name="{name}"', text.encode()) for name, text in AS_TEXT.items()]
        fields, encoded = read_form(IMAGE_PART, *parts)
        assert (fields.options, encoded) == (OPTIONS, PICTURE)

    def test_form_with_base64(self) -> None:
        _, encoded = read_form(('name="b64"', B64.encode()))
        assert encoded == PICTURE

    @pytest.mark.parametrize("kind", ["image/jpeg", "image/x-unknown", "application/octet-stream"])
    def test_picture_as_the_body(self, kind: str) -> None:
        query = "&".join(f"{name}={text}" for name, text in AS_TEXT.items())
        fields, encoded = read(PICTURE, kind, query)
        assert (fields.options, encoded) == (OPTIONS, PICTURE)

    def test_form_fields_beat_the_query(self) -> None:
        fields, _ = read_form(IMAGE_PART, ('name="nms"', b"0.1"), query="nms=0.9&confidence=0.2")
        assert (fields.nms, fields.confidence) == (0.1, 0.2)

    @pytest.mark.parametrize(
        "kind",
        [
            "application/json; charset=utf-8",
            "text/json",
            "APPLICATION/JSON",
            "application/vnd.me+json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "",
            None,
        ],
    )
    def test_json_under_other_names(self, kind: str | None) -> None:
        _, encoded = read(json.dumps({"b64": B64}).encode(), kind)
        assert encoded == PICTURE


@pytest.mark.parametrize(
    "text",
    [
        B64,
        "data:image/jpeg;base64," + B64,
        "data:;base64," + B64,
        base64.urlsafe_b64encode(PICTURE).decode(),
        B64.rstrip("="),
        "\n".join(B64[i : i + 76] for i in range(0, len(B64), 76)) + "\r\n",
        " " + B64 + "\t",
    ],
)
def test_base64_in_all_its_spellings(text: str) -> None:
    _, encoded = read_json(b64=text)
    assert encoded == PICTURE


def test_a_url_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def from_url(url: str, _settings: Settings) -> bytes:
        fetched.append(url)
        return PICTURE

    monkeypatch.setattr(urls, "from_url", from_url)
    address = "https://example.com/a.jpg?b=c"
    assert read_json(url=address)[1] == PICTURE
    assert read_form(('name="url"', address.encode()))[1] == PICTURE
    assert fetched == [address] * 2


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_are_the_default(nothing: object) -> None:
    names = [name for name in PredictRequest.model_fields if name != "b64"]
    fields, encoded = read_json(b64=B64, **dict.fromkeys(names, nothing))
    assert (fields.options, encoded) == (Options(), PICTURE)


@pytest.mark.parametrize("name", ["Fast", "Accurate", "ACCURATE", "fast"])
def test_detectors_in_any_case(name: str) -> None:
    assert read_json(b64=B64, face_detector=name)[0].face_detector == name.lower()
    assert read(PICTURE, "image/png", f"face_detector={name}")[0].face_detector == name.lower()


def test_a_part_without_a_name_is_unknown() -> None:
    fields, _ = read_form(IMAGE_PART, ("x=y", b"1"))
    assert fields.unknown == ("",)


class TestMisnamedFiles:
    SECOND: ClassVar = ('name="image2"; filename="b.jpg"', PICTURE)

    def test_one_beside_the_picture_is_unknown(self) -> None:
        assert read_form(IMAGE_PART, self.SECOND)[0].unknown == ("image2",)

    def test_one_that_was_not_chosen_is_not(self) -> None:
        fields, _ = read_form(IMAGE_PART, ('name="other"; filename=""', b""))
        assert fields.unknown == ()

    @pytest.mark.parametrize("name", ["images", "image[]", "x" * 1000])
    def test_without_a_picture_the_error_names_it(self, name: str) -> None:
        data = form((f'name="{name}"; filename="a.jpg"', PICTURE))
        problem = refused("no-picture", data, f"multipart/form-data; boundary={BOUNDARY}")
        assert name[:40] in problem.detail
        assert "call it `image`" in problem.detail
        assert len(problem.detail) < 200


def test_a_long_type_is_not_repeated_whole() -> None:
    assert len(refused("unsupported-media-type", b"x", "a" * 5000).detail) < 200


class TestDataUrls:
    @pytest.mark.parametrize("length", [10, 8192, 3_000_000])
    def test_any_length(self, length: int) -> None:
        url = "data:image/jpeg;base64," + base64.b64encode(bytes(length)).decode()
        assert read_json(url=url)[1] == bytes(length)
        assert read_form(('name="url"', url.encode()))[1] == bytes(length)

    def test_up_to_the_picture_limit(self) -> None:
        data = base64.b64encode(bytes(Settings().max_picture_bytes + 1)).decode()
        with pytest.raises(AgeGenderError) as caught:
            read_json(url="data:;base64," + data)
        assert caught.value.code == "picture-too-large"

    def test_other_addresses_stay_short(self) -> None:
        address = "https://a.example/".ljust(8192, "x")
        assert (
            inputs.read_request(
                Request(EnvironBuilder(method="POST").get_environ()),
                json.dumps({"url": address}).encode(),
                Settings(),
            )[1]
            is None
        )
        refused("invalid-field", json.dumps({"url": address + "x"}).encode())


class TestNotJson:
    """The error says what was sent instead, and what to send."""

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "", None, "text/json"])
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (encoded(marked(), "JPEG"), ["is a JPEG", "image/jpeg", "-F image=@"]),
            (encoded(noise(900, 900), "PNG"), ["is a PNG", "image/png"]),
            (encoded(marked(), "WebP"), ["is a WebP", "image/webp"]),
            (b"url=https%3A%2F%2Fa.example%2Fb.jpg&draw=false", ["urlencoded form", "-F", "-d"]),
            (b"b64=" + B64.encode(), ["urlencoded form"]),
            (b"https://a.example/b.jpg", ["an address", "`url`"]),
            (b"data:image/png;base64,AAAA", ["an address", "`url`"]),
            (B64.encode(), ["is base64", "`b64`"]),
            (form(IMAGE_PART), ["multipart/form-data"]),
        ],
    )
    def test_hints(self, data: bytes, says: list[str], kind: str | None) -> None:
        detail = refused("malformed-json", data, kind).detail
        assert not [part for part in says if part not in detail], detail

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"hello", b"%PDF-1.4", b"nul", b"="])
    def test_no_hint_where_it_is_not_clear(self, data: bytes) -> None:
        assert not_json.hint(data) is None

    @examples(300)
    @given(st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=4))
    def test_json_is_never_taken_for_something_else(self, fields: dict[str, str]) -> None:
        for indent in (None, 2):
            assert not_json.hint(json.dumps(fields, indent=indent).encode()) is None
            assert not_json.hint(b"\n\t " + json.dumps(fields, ensure_ascii=False).encode()) is None


def test_a_file_that_was_not_chosen_is_ignored() -> None:
    _, encoded = read_form(('name="image"; filename=""', b""), ('name="b64"', B64.encode()))
    assert encoded == PICTURE


class TestRefused:
    @pytest.mark.parametrize("data", [b"", b"  \n"])
    def test_empty(self, data: bytes) -> None:
        refused("no-picture", data)

    def test_empty_picture(self) -> None:
        refused("no-picture", b"", "image/png")

    @pytest.mark.parametrize("data", [b"{}", b'{"confidence": 0.5}', b'{"url": null}'])
    def test_no_picture(self, data: bytes) -> None:
        refused("no-picture", data)

    @pytest.mark.parametrize("nothing", ["", None])
    def test_an_empty_field_is_not_given(self, nothing: str | None) -> None:
        _, encoded = read_json(url=nothing, b64=B64)
        assert encoded == PICTURE
        refused("no-picture", json.dumps({"url": nothing, "b64": nothing}).encode())

    def test_two_pictures(self) -> None:
        refused("two-pictures", json.dumps({"b64": B64, "url": "https://a.example/"}).encode())

    @pytest.mark.defends("ambiguous-form", "hostile-form")
    @pytest.mark.parametrize(
        ("parts", "code"),
        [
            ([], "no-picture"),
            ([('name="confidence"', b"0.5")], "no-picture"),
            ([("filename=a", PICTURE)], "no-picture"),
            ([IMAGE_PART, ('name="b64"', b"AAAA")], "two-pictures"),
            ([IMAGE_PART, ('name="url"', b"https://a.example/")], "two-pictures"),
            ([IMAGE_PART, ('name="nms"', b"x")], "invalid-field"),
            ([(f'name="f{i}"', b"") for i in range(1000)], "malformed-form"),
            ([IMAGE_PART, IMAGE_PART], "two-pictures"),
            ([('name="b64"', b"AAAA"), ('name="b64"', b"AAAA")], "two-pictures"),
            ([('name="image"', PICTURE)], "no-picture"),
            ([('name="image"; filename=""', b"")], "no-picture"),
        ],
    )
    def test_forms(self, parts: list[tuple[str, bytes]], code: str) -> None:
        with pytest.raises(Problem) as caught:
            read_form(*parts)
        assert caught.value.code == code

    @pytest.mark.defends("ambiguous-form")
    def test_a_picture_in_a_form_needs_a_file_name(self) -> None:
        with pytest.raises(Problem, match="no-picture") as caught:
            read_form(('name="image"', PICTURE))
        assert "no file name" in caught.value.detail

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, identity"])
    def test_compressed_bodies(self, encoding: str) -> None:
        got = Request(EnvironBuilder(headers=Headers({"Content-Encoding": encoding})).get_environ())
        with pytest.raises(Problem) as caught:
            inputs.refuse_compressed(got)
        assert caught.value.status == 415
        assert "Content-Encoding" in caught.value.detail

    @pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}])
    def test_bodies_that_are_not(self, headers: dict[str, str]) -> None:
        inputs.refuse_compressed(Request(EnvironBuilder(headers=Headers(headers)).get_environ()))

    @pytest.mark.defends("hostile-form")
    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"", f"multipart/form-data; boundary={BOUNDARY}"),
            (b"nonsense", f"multipart/form-data; boundary={BOUNDARY}"),
            (form(IMAGE_PART)[:-30], f"multipart/form-data; boundary={BOUNDARY}"),
            (form(IMAGE_PART), "multipart/form-data"),
            (form(IMAGE_PART), 'multipart/form-data; boundary=""'),
            (form(IMAGE_PART), "multipart/form-data; boundary=other"),
            (form(IMAGE_PART), "multipart/form-data; boundary*=utf-8''%E2%82%AC"),
            (
                b"--frontier\r\nX: y\r\n\r\nz\r\n--frontier--",
                "multipart/form-data; boundary=frontier",
            ),
        ],
    )
    def test_malformed_forms(self, data: bytes, kind: str) -> None:
        refused("malformed-form", data, kind)

    @pytest.mark.parametrize(
        "kind", ["application/xml", "text/html", "video/mp4", "multipart/mixed", "json", "a/b;;=,"]
    )
    def test_other_kinds(self, kind: str) -> None:
        problem = refused("unsupported-media-type", b"{}", kind)
        assert "application/json" in problem.detail

    @pytest.mark.defends("hostile-json")
    @pytest.mark.parametrize(
        "data",
        [
            b"{",
            b"{'b64': 'AAAA'}",
            b'{"b64": "AAAA",}',
            b'{"b64": "\xff\xfe"}',
            b'{"b64": "\\ud800"}',
            b"\xff\xfe",
            '{"b64": "AAAA"}'.encode("utf-16"),
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
            b"[" * 100_000,
            b'{"x":' * 100_000,
            b'{"max_faces": ' + b"9" * 10_000 + b"}",
            b"nul",
        ],
    )
    def test_not_json(self, data: bytes) -> None:
        refused("malformed-json", data)

    @pytest.mark.defends("hostile-json")
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("confidence", "1.01"),
            ("confidence", "-0.1"),
            ("confidence", "NaN"),
            ("confidence", "1e999"),
            ("confidence", "-Infinity"),
            ("confidence", '"high"'),
            ("confidence", "[0.5]"),
            ("nms", "2"),
            ("nms", "{}"),
            ("draw", '"perhaps"'),
            ("draw", "2"),
            ("face_detector", '"best"'),
            ("face_detector", "1"),
            ("url", "5"),
            ("url", json.dumps("https://a.example/" + "x" * 9000)),
            ("b64", "5"),
            ("b64", '["AAAA"]'),
            ("max_faces", "0"),
            ("max_faces", "1.5"),
            ("max_faces", "1e30"),
            ("max_faces", "9" * 400),
            ("min_face", "0"),
            ("min_face", "100001"),
        ],
    )
    def test_a_wrong_value_is_named(self, field: str, value: str) -> None:
        problem = refused("invalid-field", f'{{"{field}": {value}}}'.encode())
        assert [error.field for error in problem.errors] == [field]
        assert problem.detail.startswith(f"{field}: ")
        assert len(problem.detail) < 1000

    @pytest.mark.parametrize("data", [b"[]", b'"AAAA"', b"5", b"null", b"true"])
    def test_json_that_is_not_an_object(self, data: bytes) -> None:
        assert refused("invalid-field", data).errors[0].field == "body"

    def test_all_wrong_values_are_named(self) -> None:
        problem = refused("invalid-field", b'{"nms": 2, "confidence": 3}')
        assert {error.field for error in problem.errors} == {"nms", "confidence"}

    def test_of_two_equal_keys_the_last_counts(self) -> None:
        _, encoded = read(b'{"b64": "AAAA", "b64": "' + B64.encode() + b'"}')
        assert encoded == PICTURE


FIELD_NAMES = st.sampled_from([*PredictRequest.model_fields, "other", ""])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD_NAMES, inner, max_size=3),
    max_leaves=8,
)


def read_or_refused(data: bytes, kind: str | None, query: str = "") -> None:
    """Any input results in a picture or a client error."""
    status = 200
    try:
        fields, encoded = read(data, kind, query)
    except Problem as problem:
        status = problem.status
    except AgeGenderError as error:
        status = STATUSES[error.code][0]
    else:
        assert isinstance(encoded, bytes)
        assert isinstance(fields.options, Options)
    assert status < 500


@pytest.mark.defends("json-values")
@pytest.mark.parametrize(
    "ignored", ["[]," * 5_000_000, '{"a":1},' * 2_000_000, "1," * 8_000_000, '"",' * 5_000_000]
)
def test_millions_of_ignored_values_are_refused_unparsed(
    ignored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        PredictRequest, "model_validate_json", lambda *_: pytest.fail("it was parsed")
    )
    body = f'{{"b64": "{B64}", "more": [{ignored}0]}}'.encode()
    assert "too many values" in refused("malformed-json", body).detail


def test_thousands_of_ignored_values_and_long_texts_are_accepted() -> None:
    long = base64.b64encode(bytes(10_000_000)).decode()
    more: Any
    for more in ([[]] * 4000, "\\ \n" * 1_000_000, {"deep": [[[[{"a": 1.5}]]]]}, 10**4000):
        assert read_json(b64=B64, more=more)[1] == PICTURE
    assert read_json(b64=long)[1] == bytes(10_000_000)


class TestAnything:
    @pytest.fixture(autouse=True)
    def _no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(urls, "from_url", lambda *_: PICTURE)

    @examples(800)
    @given(st.binary(max_size=300), st.sampled_from(["application/json", "image/png", None]))
    def test_bytes(self, data: bytes, kind: str | None) -> None:
        read_or_refused(data, kind)

    @pytest.mark.defends("fuzzing")
    @examples(800)
    @given(st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=5))
    def test_fields(self, fields: dict[str, Any]) -> None:
        read_or_refused(json.dumps(fields).encode(), "application/json")

    @examples(400)
    @given(st.dictionaries(FIELD_NAMES, st.text(max_size=10), max_size=4))
    def test_query(self, fields: dict[str, str]) -> None:
        read_or_refused(PICTURE, "image/png", urlencode(fields))

    @examples(800)
    @given(st.data())
    def test_damaged_forms(self, data: st.DataObject) -> None:
        whole = form(IMAGE_PART, ('name="nms"', b"0.5"), ('name="b64"', b""))
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, len(whole)))
        damaged = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
        read_or_refused(damaged, f"multipart/form-data; boundary={BOUNDARY}")

    @examples(400)
    @given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
    def test_content_types(self, kind: str) -> None:
        read_or_refused(b"{}", kind)
        read_or_refused(form(IMAGE_PART), "multipart/form-data; " + kind)
