"""Properties of the server's request reader, for requests that Hypothesis makes up."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from age_gender.edge.completion import Environ
from age_gender.edge.front.policy import Admission, Policy
from age_gender.edge.front.reading import RequestReader
from age_gender.edge.problems import STATUSES, Problem
from age_gender.limits.admission import Budget
from tests.unit.profile import examples

MAX_BODY = 2000
MAX_HELD = 4 * MAX_BODY


@dataclass
class Read:
    """What a reader made of some bytes: the requests in order, and how it ended."""

    requests: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    problem: str = ""
    complete: bool = True


def read(data: bytes, sizes: list[int]) -> Read:
    """Feed a reader pieces of these sizes, again and again, as the server does."""
    budget = Budget(MAX_HELD)

    def admit(_: Environ) -> Admission:
        return Admission(MAX_BODY, heavy=True)

    reader = RequestReader(
        ("1.2.3.4", 5), ("127.0.0.1", 80), Policy(admit, budget.reserve), lambda: None
    )
    found, position, turn = Read(), 0, 0
    rest, is_new = b"", True
    while position < len(data) or rest:
        if not rest:
            size = sizes[turn % len(sizes)]
            rest, position, turn = data[position : position + size], position + size, turn + 1
        if is_new:
            reader.begin(0.0)
        try:
            is_new = reader.feed(rest, 0.0)
        except Problem as problem:
            found.problem = problem.code
            break
        rest = b""
        found.complete = is_new
        if is_new:
            environ = reader.finish()
            found.requests.append(
                (
                    environ["REQUEST_METHOD"],
                    environ["RAW_URI"],
                    environ.get("HTTP_X_A", ""),
                    environ["wsgi.input"].read(),
                )
            )
            reader.release()
            if not reader.keep_alive:
                break
            rest = reader.rest()
    reader.release()
    assert budget._held == 0
    return found


names = st.sampled_from(["Accept", "X-Request-Id", "X_B", "Content-Type"])
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
paths = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789/-_.~%20"), max_size=30).map(
    lambda text: "/" + re.sub("%(?!20)", "", text)
)
sizes = st.lists(st.integers(1, 100), min_size=1, max_size=10)


@dataclass
class Request:
    """A well-formed request, and what the application should get of it."""

    data: bytes
    expected: tuple[str, str, str, bytes]


@st.composite
def requests(draw: Any) -> Request:
    method = draw(st.sampled_from(["GET", "POST", "PUT", "OPTIONS"]))
    path, value = draw(paths), draw(values)
    others = draw(st.lists(st.tuples(names, values), max_size=4, unique_by=lambda pair: pair[0]))
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"X-A: {value}"]
    lines += [f"{name}: {text}" for name, text in others]
    body = draw(st.binary(max_size=MAX_BODY)) if method in ("POST", "PUT") else b""
    content = body
    if body and draw(st.booleans()):
        lines.append("Transfer-Encoding: chunked")
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=5)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]
        content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        content += b"0\r\n\r\n"
    elif body:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode()
    return Request(head + content, (method, path, value, body))


@examples(80)
@given(st.lists(requests(), min_size=1, max_size=4), sizes)
def test_requests_are_read_as_they_were_sent_however_they_are_cut(
    sent: list[Request], cut: list[int]
) -> None:
    found = read(b"".join(request.data for request in sent), cut)
    assert found.problem == ""
    assert found.complete
    assert found.requests == [request.expected for request in sent]


@st.composite
def damaged(draw: Any) -> bytes:
    """Some requests with a few bytes changed, left out or added."""
    data = bytearray(b"".join(r.data for r in draw(st.lists(requests(), min_size=1, max_size=2))))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data) - 1)) if data else 0
        change = draw(st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b"\0", b": ", b" "]))
        data[position : position + draw(st.integers(0, 3))] = change
    return bytes(data)


@pytest.mark.defends("request-smuggling")
@examples(150)
@given(damaged() | st.binary(max_size=500), sizes)
def test_anything_is_a_request_or_a_problem_however_it_is_cut(data: bytes, cut: list[int]) -> None:
    """Otherwise two servers could disagree where a request ends."""
    found = read(data, cut)
    whole = read(data, [max(1, len(data))])
    assert found.requests == whole.requests
    assert bool(found.problem) == bool(whole.problem)
    assert not found.problem or 400 <= STATUSES[found.problem][0] < 500
