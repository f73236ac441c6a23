"""What the module monitoring asks for exists: metrics, labels, and fields of the service's log."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser
import pytest
from cloudevents.http import CloudEvent
from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ

from age_gender.batch.annotate import Annotator, Outcome
from age_gender.batch.events import FINALIZED, Handler, read_event
from age_gender.batch.results import names_of
from age_gender.edge.app import Edge
from age_gender.settings import Settings
from tests.contract.conftest import AUTHORIZATION, FakeRuntime
from tests.infra.plans import Plan, terraform_runs
from tests.unit.pictures import encoded, noise

MODULE = "modules/monitoring"
VARIABLES = (
    'predict_services=["age-gender-predict"]',
    "annotate_service=age-gender-annotate",
    "backfill_job=age-gender-annotate-backfill",
    "event_subscription=age-gender-annotate-uploads",
    "dead_letter_subscription=age-gender-annotate-dead-letters",
)

REVISION = {"project_id", "location", "service_name", "revision_name", "configuration_name"}
REQUEST = REVISION | {"response_code", "response_code_class"}
CONTAINER = REVISION | {"container_name"}
JOB = {"project_id", "location", "job_name"}
SUBSCRIPTION = {"project_id", "subscription_id"}
METRICS = {
    "run.googleapis.com/request_count": ("cloud_run_revision", REQUEST),
    "run.googleapis.com/request_latencies": ("cloud_run_revision", REQUEST),
    "run.googleapis.com/container/cpu/utilizations": ("cloud_run_revision", CONTAINER),
    "run.googleapis.com/container/memory/utilizations": ("cloud_run_revision", CONTAINER),
    "run.googleapis.com/container/instance_count": ("cloud_run_revision", REVISION | {"state"}),
    "run.googleapis.com/job/completed_execution_count": ("cloud_run_job", JOB | {"result"}),
    **{
        f"pubsub.googleapis.com/subscription/{name}": ("pubsub_subscription", SUBSCRIPTION)
        for name in ("num_undelivered_messages", "oldest_unacked_message_age")
    },
}
"""Google's metrics that are used: type, then monitored resource and labels of both, as listed at
cloud.google.com/monitoring/api/metrics_gcp (November 2026)."""
DISTRIBUTIONS = ("_bucket", "_count", "_sum")


OBJECT = {
    "bucket": "in",
    "name": "a.jpg",
    "generation": "1795570195247824",
    "size": "12345",
    "timeCreated": "2026-11-25T01:29:55.247Z",
}


def queries_of(plan: Plan) -> list[str]:
    """All PromQL: of alerts and of the dashboard."""
    alerts = [
        condition["condition_prometheus_query_language"][0]["query"]
        for policy in plan.resources("google_monitoring_alert_policy")
        for condition in policy["values"]["conditions"]
        if condition["condition_prometheus_query_language"]
    ]
    (dashboard,) = plan.resources("google_monitoring_dashboard")
    page = json.loads(dashboard["values"]["dashboard_json"])
    return alerts + list(_values(page, "prometheusQuery"))


def log_metrics_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """The metrics that are made from logs, by name."""
    metrics = plan.resources("google_logging_metric")
    return {metric["values"]["name"]: metric["values"] for metric in metrics}


def _values(tree: Any, key: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            else:
                yield from _values(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _values(value, key)


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of the module with everything there is to watch."""
    folder = tmp_path_factory.mktemp("present")
    return terraform_runs(folder, ("plan:all", *VARIABLES), folder=MODULE).plans["all"]


def promql_name(metric: str) -> str:
    """How PromQL writes the name of a metric of Cloud Monitoring."""
    domain, _, rest = metric.partition("/")
    return f"{re.sub(r'[^A-Za-z0-9]', '_', domain)}:{re.sub(r'[^A-Za-z0-9]', '_', rest)}"


def complaints(plan: Plan) -> list[str]:
    """What is wrong with the queries, and with what they ask for."""
    known = {promql_name(name): of_metric for name, of_metric in METRICS.items()}
    for name, metric in log_metrics_of(plan).items():
        labels = {label["key"] for label in metric["metric_descriptor"][0]["labels"]}
        of_metric = ("cloud_run_revision", REVISION | labels)
        known[promql_name(f"logging.googleapis.com/user/{name}")] = of_metric
    found = []
    for query in queries_of(plan):
        try:
            tree = promql_parser.parse(query)
        except ValueError as error:
            found.append(f"not PromQL: {query}: {error}")
            continue
        found += [why for s in selectors(tree) for why in _about(s, known)]
        found += [
            f"{label} is no label of a metric in {query}"
            for label in set(re.findall(r"by \(([^)]*)\)", query))
            for label in label.split(", ")
            if label not in {"le"}.union(*(labels for _, labels in known.values()))
        ]
    return found


def selectors(tree: Any) -> list[Any]:
    """All selectors of series in a query."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        return True

    promql_parser.walk(tree, visit)
    return found


def _about(selector: Any, known: dict[str, tuple[str, set[str]]]) -> Iterator[str]:
    name = selector.name
    for ending in DISTRIBUTIONS:
        if name not in known:
            name = selector.name.removesuffix(ending)
    if name not in known:
        yield f"there is no metric {selector.name}"
        return
    resource, labels = known[name]
    matched = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
    if matched.pop("monitored_resource", None) != resource:
        yield f"{name} is a metric of {resource}: say so"
    yield from (f"{name} has no label {label}" for label in sorted(set(matched) - labels))


def test_queries_ask_for_what_there_is(present: Plan) -> None:
    assert len(queries_of(present)) == 20
    assert complaints(present) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param(
            *("oldest_unacked_message_age", "oldest_message_age"),
            "there is no metric pubsub_googleapis_com:subscription_oldest_message_age",
            id="a metric that does not exist",
        ),
        pytest.param(
            *('response_code="429"', 'response_status="429"'),
            "run_googleapis_com:request_count has no label response_status",
            id="a label that the metric does not have",
        ),
        pytest.param(
            *('monitored_resource="cloud_run_job",', ""),
            "is a metric of cloud_run_job: say so",
            id="an ambiguous metric",
        ),
        pytest.param(
            *("sum by (le, service_name) (rate", "sum by (le, service_name ((rate"),
            "not PromQL",
            id="a query that does not parse",
        ),
        pytest.param(
            *("sum by (service_name) (rate", "sum by (service) (rate"),
            "service is no label of a metric",
            id="a sum by a label that does not exist",
        ),
    ],
)
def test_a_wrong_query_is_caught(present: Plan, old: str, new: str, complaint: str) -> None:
    wrong = changed(present, old, new)
    assert any(complaint in found for found in complaints(wrong))


def test_a_label_that_a_metric_from_logs_lacks_is_caught(present: Plan) -> None:
    document = copy.deepcopy(present.document)
    metric = log_metrics_of(Plan(document))["age-gender-requests"]
    metric["metric_descriptor"][0]["labels"] = []
    assert any("requests has no label code" in found for found in complaints(Plan(document)))


def changed(plan: Plan, old: str, new: str) -> Plan:
    """A plan with something else in its queries or filters."""
    document = json.dumps(plan.document)
    escaped = json.dumps(old).strip('"')
    assert escaped in document, f"{old!r} is not planned any more: mend this test"
    return Plan(json.loads(document.replace(escaped, json.dumps(new).strip('"'))))


def test_every_metric_from_logs_is_shown(present: Plan) -> None:
    shown = " ".join(queries_of(present))
    for name in log_metrics_of(present):
        assert promql_name(f"logging.googleapis.com/user/{name}") in shown


def unmatched(plan: Plan, lines: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Metrics that count none of the service's lines, or take a field that no counted line has."""
    found = []
    for name, metric in log_metrics_of(plan).items():
        counted = [line for line in lines[name] if matches(metric["filter"], line)]
        if not counted:
            found.append(f"{name} counts nothing")
        extractors = [*(metric["label_extractors"] or {}).values(), metric["value_extractor"]]
        for field in re.findall(
            r"EXTRACT\(jsonPayload\.(\w+)\)", " ".join(filter(None, extractors))
        ):
            if not any(field in line for line in counted):
                found.append(f"{name}: no line has {field}")
    return found


def matches(filter_: str, line: dict[str, Any]) -> bool:
    """Whether a line's own fields match a filter of Cloud Logging, as far as ours go."""
    terms = [t for t in filter_.split(" AND ") if t.startswith("jsonPayload.")]
    for term in terms:
        field, operator, value = re.fullmatch(r"jsonPayload\.(\w+)(:|=~)(.+)", term).groups()  # type: ignore[union-attr]
        if field not in line:
            return False
        if operator == "=~" and not re.search(value.strip('"'), str(line[field])):
            return False
    return bool(terms)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the service logs, by the metric that should count it."""

    def logged(call: Callable[[], object]) -> list[dict[str, Any]]:
        caplog.clear()
        with caplog.at_level("INFO", "age_gender"):
            call()
        return [getattr(record, "fields", {}) for record in caplog.records]

    edge = Edge(Settings(), runtime=FakeRuntime)  # type: ignore[arg-type]
    predicted = logged(lambda: edge(_request(encoded(noise(64, 64), "JPEG"))))
    refused = logged(lambda: edge(_request(b"no picture")))
    upload = read_event(uploaded(OBJECT)).stored
    assert upload is not None
    outcome = Outcome("annotated", names_of("", upload), {"faces": []})
    monkeypatch.setattr(Annotator, "annotate", lambda *_: outcome)
    handler = Handler(Settings(input_bucket="in", output_bucket="out"))
    return {
        "age-gender-requests": predicted + refused,
        "age-gender-faces": predicted,
        "age-gender-events": logged(lambda: handler(uploaded(OBJECT), Headers())),
        "age-gender-hopeless": logged(lambda: handler(uploaded({}), Headers())),
    }


def uploaded(described: dict[str, str]) -> CloudEvent:
    return CloudEvent({"type": FINALIZED, "source": "//storage"}, described)


def _request(body: bytes) -> Request:
    headers = {"Authorization": AUTHORIZATION}
    return Request(
        create_environ(
            "/predict", method="POST", data=body, headers=headers, content_type="image/jpeg"
        )
    )


def test_metrics_count_what_the_service_logs(present: Plan, lines: dict[str, Any]) -> None:
    assert unmatched(present, lines) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("EXTRACT(jsonPayload.faces)", "EXTRACT(jsonPayload.face_count)", "no line has face_count"),
        ("jsonPayload.hopeless:*", "jsonPayload.dropped:*", "hopeless counts nothing"),
        ('"^/predict"', '"^/v2"', "requests counts nothing"),
    ],
)
def test_a_metric_that_counts_nothing_is_caught(
    present: Plan, lines: dict[str, Any], old: str, new: str, complaint: str
) -> None:
    wrong = changed(present, old, new)
    assert any(complaint in found for found in unmatched(wrong, lines))
