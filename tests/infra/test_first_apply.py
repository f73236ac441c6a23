"""A first apply comes up in a new project, later ones keep what works, destroy leaves nothing."""

import fnmatch
import json
from pathlib import Path
from typing import Any

import pytest

from tests.infra.plans import Outcome, Plan, references, terraform_runs
from tests.infra.tools import change, copy_of_terraform

KEY = "kms_key=projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
GIVEN = (
    "image=europe-west1-docker.pkg.dev/example-project/age-gender/service:1",
    "gpu_image=europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu:1",
)
FEATURES = (
    "bigquery_dataset=faces", "gke_gpu=true", "gpu_quota=1", "domain=faces.example.com",
    "vpc_egress=true", "max_instances=3", "min_instances=1", 'labels={"team"="faces"}',
    "monitoring=true",
)  # fmt: skip
"""What somebody switches later."""

EVERYTHING = (
    *GIVEN, KEY, "bigquery_dataset=faces", "gpu=true", "gke_gpu=true", "gpu_quota=1",
    "public=false",
    "vpc_egress=true", "domain=faces.example.com", 'iap_members=["group:faces@example.com"]',
    'secret_locations=["europe-west1"]', "monitoring=true", "billing_account=012345-6789AB-CDEF01",
    'alert_emails=["somebody@example.com"]',
)  # fmt: skip

APIS = {
    "google_artifact_registry_*": "artifactregistry",
    "google_bigquery_*": "bigquery",
    "google_billing_*": "billingbudgets",
    "google_cloud_run_*": "run",
    "google_compute_*": "compute",
    "google_container_*": "container",
    "google_iap_*": "iap",
    "google_kms_*": "cloudkms",
    "google_logging_*": "logging",
    "google_monitoring_*": "monitoring",
    "google_project_iam_*": "cloudresourcemanager",
    "google_pubsub_*": "pubsub",
    "google_secret_manager_*": "secretmanager",
    "google_service_account*": "iam",
    "google_storage_*": "storage",
}
"""The API that each type of resource is made with."""
WITHOUT_API = {"google_project_service", "google_project_service_identity", "terraform_data"}


HOLD_DATA = {
    "google_artifact_registry_repository": {"artifactregistry"},
    "google_bigquery_dataset": {"bigquery"},
    "google_cloud_run_v2_job": {"run"},
    "google_cloud_run_v2_service": {"run"},
    "google_container_cluster": {"compute", "container"},
    "google_pubsub_topic": {"pubsub"},
    "google_secret_manager_secret": {"secretmanager"},
    "google_storage_bucket": {"storage"},
}
"""Types of resources that can be encrypted with a key of one's own, and the agents that do it."""


def without_own_key(plan: Plan) -> list[str]:
    """Resources that hold data and are not encrypted with the key given."""
    key = KEY.removeprefix("kms_key=")
    return [
        resource["address"]
        for kind in HOLD_DATA
        for resource in plan.resources(kind)
        if key not in _strings(resource["values"])
    ]


def agents_without_key(plan: Plan) -> list[str]:
    """Google's agents that encrypt what is planned and may not use the key."""
    kinds = {resource["type"] for resource in plan.resources()}
    needed = set().union(*(HOLD_DATA[kind] for kind in HOLD_DATA.keys() & kinds))
    may = {grant["index"] for grant in plan.resources("google_kms_crypto_key_iam_member")}
    return sorted(needed - may)


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return set().union(*map(_strings, parts))
    return {value} if isinstance(value, str) else set()


def lost_roles(plan: Plan) -> list[str]:
    """Roles that a plan takes away, even if it grants them again."""
    return [c.address for c in plan.changes if "_iam_" in c.type and "delete" in c.actions]


NAMES = ("account_id", "dataset_id", "name", "repository_id", "secret_id")


def taken_names(plan: Plan) -> list[str]:
    """What a plan creates under a name that is not free yet: the old one goes afterwards."""
    return [
        change.address
        for change in plan.changes
        if change.actions == ("create", "delete")
        if any(
            change.before[name] == change.after.get(name) for name in NAMES if name in change.before
        )
    ]


def missing_apis(plan: Plan) -> list[str]:
    """APIs that planned resources need and that the plan does not enable."""
    enabled = {r["values"]["service"] for r in plan.resources("google_project_service")}
    needed = set()
    for resource in plan.resources():
        kind = resource["type"]
        if kind in WITHOUT_API:
            continue
        (api,) = {api for pattern, api in APIS.items() if fnmatch.fnmatchcase(kind, pattern)}
        needed.add(api)
        values = resource["values"]
        if values.get("binary_authorization"):
            needed.add("binaryauthorization")
        if any(block.get("enabled") for block in values.get("iap") or ()):
            needed.add("iap")
    return sorted(api for api in needed if f"{api}.googleapis.com" not in enabled)


def quota(plan: Plan) -> tuple[float, float]:
    """vCPU and GiB that all instances of services and jobs can take together."""
    cpu = gib = 0.0
    for resource in plan.resources():
        template = (resource["values"].get("template") or [{}])[0]
        if resource["type"] == "google_cloud_run_v2_service":
            count, container = template["scaling"][0]["max_instance_count"], template["containers"]
        elif resource["type"] == "google_cloud_run_v2_job":
            count, container = template["parallelism"], template["template"][0]["containers"]
        else:
            continue
        limits = container[0]["resources"][0]["limits"]
        cpu += count * float(limits["cpu"])
        gib += count * float(limits["memory"].removesuffix("Gi"))
    return cpu, gib


def refused_by_policies(plan: Plan) -> list[str]:
    """Resources that common policies of organisations refuse, with the policy."""
    found = []
    for resource in plan.resources():
        values, kind = resource["values"], resource["type"]
        broken = []
        if values.get("member") in ("allUsers", "allAuthenticatedUsers"):
            broken.append("iam.allowedPolicyMemberDomains")
        if kind == "google_secret_manager_secret" and values["replication"][0]["auto"]:
            broken.append("gcp.resourceLocations")
        if kind == "google_service_account_key":
            broken.append("iam.disableServiceAccountKeyCreation")
        if kind == "google_storage_bucket":
            if not values["uniform_bucket_level_access"]:
                broken.append("storage.uniformBucketLevelAccess")
            if values["public_access_prevention"] != "enforced":
                broken.append("storage.publicAccessPrevention")
        if kind == "google_compute_network" and values["auto_create_subnetworks"]:
            broken.append("compute.skipDefaultNetworkCreation")
        if kind == "google_container_cluster":
            if values.get("network") == "default":
                broken.append("compute.skipDefaultNetworkCreation")
            if not values["private_cluster_config"][0]["enable_private_nodes"]:
                broken.append("compute.vmExternalIpAccess")
        found += [f"{resource['address']}: {policy}" for policy in broken]
    return found + [f"{a}: iam.automaticIamGrants" for a in with_default_identities(plan)]


def with_default_identities(plan: Plan) -> list[str]:
    """What would run as Compute Engine's default identity, which new projects give no role."""
    run = ("google_cloud_run_v2_service.", "google_cloud_run_v2_job.", "google_container_node_pool")
    return [
        f"module.{module}.{address}"
        for module in ("predict", "predict_gpu", "annotate", "gpu")
        for address, expressions in plan.configured(module).items()
        if address.startswith(run) and not _own_identity(expressions)
    ]


def _own_identity(expression: Any) -> bool:
    if isinstance(expression, list):
        return any(map(_own_identity, expression))
    if not isinstance(expression, dict):
        return False
    own = references(expression.get("service_account"))
    return any(map(_own_identity, expression.values())) or any(
        name.startswith("google_service_account.") for name in own
    )


def agents_without_roles(plan: Plan) -> list[str]:
    """What Google's agents could not do in the bucket trigger, for want of a role."""
    resources = plan.configured("annotate")

    def granted(kind: str, role: str, on: str, field: str, member: str) -> bool:
        return any(
            address.startswith(kind)
            and expressions["role"].get("constant_value") == role
            and on in references(expressions[field])
            and member in references(expressions["member"])
            for address, expressions in resources.items()
        )

    missing = []
    for address, expressions in resources.items():
        if address.startswith("google_storage_notification"):
            (topic,) = (r for r in references(expressions["topic"]) if r.count(".") == 1)
            if not granted(
                *("google_pubsub_topic_iam", "roles/pubsub.publisher", topic, "topic"),
                "var.storage_agent",
            ):
                missing.append(f"Cloud Storage cannot publish to {topic}")
        if not address.startswith("google_pubsub_subscription."):
            continue
        for policy in expressions.get("dead_letter_policy", []):
            (topic,) = (r for r in references(policy["dead_letter_topic"]) if r.count(".") == 1)
            if not granted(
                *("google_pubsub_topic_iam", "roles/pubsub.publisher", topic, "topic"),
                "var.pubsub_agent",
            ):
                missing.append(f"Pub/Sub cannot publish to {topic}")
            if not granted(
                *("google_pubsub_subscription_iam", "roles/pubsub.subscriber", address),
                *("subscription", "var.pubsub_agent"),
            ):
                missing.append(f"Pub/Sub cannot acknowledge on {address}")
        for push in expressions.get("push_config", []):
            for token in push.get("oidc_token", []):
                signer = token["service_account_email"]
                (account,) = (r for r in references(signer) if r.count(".") == 1)
                if not granted(
                    *("google_service_account_iam", "roles/iam.serviceAccountOpenIdTokenCreator"),
                    *(account, "service_account_id", "var.pubsub_agent"),
                ):
                    missing.append(f"Pub/Sub cannot sign as {account}")
    return missing


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The example applied, planned with changes, destroyed and applied again."""
    return terraform_runs(
        tmp_path_factory.mktemp("applied"),
        ("apply",),
        ("plan:nothing",),
        ("plan:features", *FEATURES),
        ("plan:gpu", "gpu=true"),
        ("plan:password", "password_version=2"),
        ("plan:places", KEY, 'secret_locations=["europe-west1"]'),
        ("plan:keys", "auth=keys", "auth_keys_secret=callers"),
        ("plan:iam", "auth=iam", "public=false"),
        ("destroy",),
        ("plan:again",),
    )


@pytest.fixture(scope="module")
def featured(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All features planned, applied, planned again and destroyed; then plans of environments."""
    environments = ("staging", "production")
    return terraform_runs(
        tmp_path_factory.mktemp("featured"),
        ("plan:everything", *EVERYTHING),
        ("apply", *EVERYTHING),
        ("plan:everything-again", *EVERYTHING),
        ("destroy", *EVERYTHING),
        *((f"plan:{name}", f"environments/{name}.tfvars") for name in environments),
    )


@pytest.fixture(scope="module")
def plans(featured: Outcome) -> dict[str, Plan]:
    return featured.plans


@pytest.fixture(scope="module")
def everything(plans: dict[str, Plan]) -> Plan:
    return plans["everything"]


def test_the_first_apply_builds_one_image_without_gates(applied: Outcome) -> None:
    (build,) = applied.gcloud
    assert "--config=cloudbuild.yaml" in build
    assert "_SEVERITY=NONE,_RELEASE=false" in build
    assert applied.output.index("writers[") < applied.output.index("Provisioning with")


def test_a_second_plan_changes_nothing(applied: Outcome) -> None:
    assert applied.plans["nothing"].changes == []


def test_destroy_leaves_nothing_and_all_can_be_applied_again(applied: Outcome) -> None:
    assert applied.left == []
    assert {c.actions for c in applied.plans["again"].changes} == {("create",)}


def test_all_features_come_up_stay_as_they_are_and_go(featured: Outcome) -> None:
    assert len(featured.plans["everything"].changes) > 100
    assert featured.plans["everything-again"].changes == []
    assert featured.left == []


def test_what_is_switched_later_takes_no_role_away(applied: Outcome) -> None:
    plan = applied.plans["features"]
    assert {"google_bigquery_table", "google_container_cluster"} <= {c.type for c in plan.changes}
    assert lost_roles(plan) == []


def test_a_gpu_comes_beside_what_serves(applied: Outcome) -> None:
    """A machine with a GPU and the image of the other could not start."""
    plan = applied.plans["gpu"]
    assert {c.actions for c in plan.changes} == {("create",)}
    names = {r["values"]["name"] for r in plan.resources("google_cloud_run_v2_service")}
    assert names == {"age-gender-predict", "age-gender-predict-gpu", "age-gender-annotate"}
    cpu, gib = quota(plan)
    assert cpu <= 20
    assert gib <= 40


def test_a_new_password_is_a_new_version_and_revision(applied: Outcome) -> None:
    kinds = {c.type: c.actions for c in applied.plans["password"].changes}
    assert kinds["google_secret_manager_secret_version"] == ("create", "delete")
    assert kinds["google_cloud_run_v2_service"] == ("update",)


def test_what_is_replaced_is_there_before_the_old_goes(applied: Outcome) -> None:
    replaced = {c.type for c in applied.plans["places"].changes if "delete" in c.actions}
    assert "google_secret_manager_secret" in replaced
    # All that may read the old one may read the new one.
    assert lost_roles(applied.plans["places"]) == [
        "google_secret_manager_secret_iam_member.build_tests",
        "module.predict.google_secret_manager_secret_iam_member.service",
    ]
    for plan in applied.plans.values():
        assert taken_names(plan) == []


@pytest.mark.parametrize("auth", ["keys", "iam"])
def test_another_check_of_callers_leaves_the_serving_revision_what_it_needs(
    applied: Outcome, auth: str
) -> None:
    changes = applied.plans[auth].changes
    assert [c.address for c in changes if "delete" in c.actions] == []
    (service,) = (c for c in changes if c.type == "google_cloud_run_v2_service")
    (container,) = service.after["template"][0]["containers"]
    (value,) = (env["value"] for env in container["env"] if env["name"] == "AUTH")
    assert value == auth


def test_roles_and_names_that_are_taken_away_are_noticed(tmp_path: Path) -> None:
    terraform = copy_of_terraform(tmp_path)
    change(
        terraform / "modules/project/main.tf",
        "  project = local.with_storage\n",
        "  project = var.project_id\n  depends_on = [google_project_service.apis]\n",
    )
    change(terraform / "modules/cloud_run/main.tf", "-password${local.secret_suffix}", "-password")
    outcome = terraform_runs(
        tmp_path,
        ("apply", *GIVEN),
        ("plan:table", *GIVEN, "bigquery_dataset=faces"),
        ("plan:places", *GIVEN, 'secret_locations=["europe-west1"]'),
        terraform=terraform,
    )
    assert taken_names(outcome.plans["places"]) == [
        "module.predict.google_secret_manager_secret.password[0]"
    ]
    assert lost_roles(outcome.plans["table"]) == [
        "module.annotate[0].google_pubsub_topic_iam_member.uploads_published"
    ]


def test_the_apis_of_all_resources_are_enabled(everything: Plan) -> None:
    assert missing_apis(everything) == []


@pytest.mark.parametrize(
    "api", ["pubsub", "binaryauthorization", "monitoring", "logging", "billingbudgets"]
)
def test_an_api_that_is_missing_is_noticed(everything: Plan, api: str) -> None:
    document = {**everything.document, "planned_values": _without(everything, api)}
    assert missing_apis(Plan(document)) == [api]


def _without(plan: Plan, api: str) -> dict[str, Any]:
    kept = [r for r in plan.resources() if r["values"].get("service") != f"{api}.googleapis.com"]
    return {"root_module": {"resources": kept}}


def test_a_new_project_has_room_for_all_instances(applied: Outcome) -> None:
    cpu, gib = quota(applied.plans["again"])
    assert 0 < cpu <= 0.8 * 20, "a fifth is left for revisions that replace others"
    assert 0 < gib <= 0.8 * 40


def test_staging_is_deleted_without_asking_and_production_is_not(plans: dict[str, Plan]) -> None:
    for name, protected in (("staging", False), ("production", True)):
        kinds = ("google_cloud_run_v2_service", "google_cloud_run_v2_job")
        services = [r["values"] for kind in kinds for r in plans[name].resources(kind)]
        assert [v["deletion_protection"] for v in services] == [protected] * 3
        assert {v["labels"]["environment"] for v in services} == {name}
    assert quota(plans["staging"])[0] <= 0.8 * 20


def test_common_policies_refuse_nothing(everything: Plan) -> None:
    assert refused_by_policies(everything) == []


def test_by_default_only_the_place_of_the_password_may_be_refused(applied: Outcome) -> None:
    assert refused_by_policies(applied.plans["again"]) == [
        "module.predict.google_secret_manager_secret.password[0]: gcp.resourceLocations"
    ]


def test_a_key_of_ones_own_encrypts_all_data(everything: Plan) -> None:
    assert {r["type"] for r in everything.resources()} >= set(HOLD_DATA)
    assert without_own_key(everything) == []
    assert agents_without_key(everything) == []


def test_data_without_the_key_is_noticed(everything: Plan) -> None:
    document = json.loads(json.dumps(everything.document))
    plan = Plan(document)
    for kind, field in (
        ("google_bigquery_dataset", "default_encryption_configuration"),
        ("google_container_cluster", "cluster_autoscaling"),
        ("google_container_cluster", "database_encryption"),
        ("google_pubsub_topic", "kms_key_name"),
    ):
        for resource in plan.resources(kind):
            resource["values"][field] = None
    assert without_own_key(plan) == [
        "module.annotate[0].google_bigquery_dataset.results[0]",
        "module.gpu[0].google_container_cluster.this",
        "module.annotate[0].google_pubsub_topic.dead_letters",
        "module.annotate[0].google_pubsub_topic.uploads",
    ]


def test_an_agent_that_may_not_use_the_key_is_noticed(everything: Plan) -> None:
    kept = [r for r in everything.resources() if r.get("index") not in ("bigquery", "compute")]
    values = {"root_module": {"resources": kept}}
    plan = Plan({**everything.document, "planned_values": values})
    assert agents_without_key(plan) == ["bigquery", "compute"]


def test_agents_may_do_their_part(everything: Plan) -> None:
    assert agents_without_roles(everything) == []


def test_what_would_be_refused_is_noticed(tmp_path: Path) -> None:
    terraform = copy_of_terraform(tmp_path)
    run, trigger = "modules/cloud_run/main.tf", "modules/bucket_trigger/main.tf"
    member = "  member   = each.value\n"
    change(terraform / run, member, '  member   = "allUsers"\n')
    account = "service_account                  = google_service_account.service.email"
    change(terraform / run, account, "")
    enforced = 'public_access_prevention    = "enforced"'
    change(terraform / trigger, enforced, 'public_access_prevention    = "inherited"')
    change(terraform / trigger, '"roles/pubsub.publisher"', '"roles/pubsub.viewer"')
    signed = "service_account_id = google_service_account.trigger.name"
    change(terraform / trigger, signed, "service_account_id = google_service_account.annotate.name")
    change(
        terraform / trigger,
        "subscription = google_pubsub_subscription.uploads.name",
        "subscription = google_pubsub_subscription.dead_letters.name",
    )
    instances = "max_instances       = var.max_instances"
    change(terraform / "envs/example/main.tf", instances, "max_instances = 9")
    steps = ("plan:bad", *GIVEN, "public=false", "cpu_quota=40", "memory_quota_gib=41")
    plan = terraform_runs(tmp_path, steps, terraform=terraform).plans["bad"]
    policies = {line.split(": ")[1] for line in refused_by_policies(plan)}
    assert policies == {
        "iam.allowedPolicyMemberDomains",
        "iam.automaticIamGrants",
        "storage.publicAccessPrevention",
        "gcp.resourceLocations",
    }
    assert sorted(agents_without_roles(plan)) == [
        "Cloud Storage cannot publish to google_pubsub_topic.uploads",
        "Pub/Sub cannot acknowledge on google_pubsub_subscription.uploads",
        "Pub/Sub cannot sign as google_service_account.trigger",
    ]
    assert quota(plan)[0] > 0.8 * 20
