# No account is needed: the providers' schemas are enough.
mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/example-project/age-gender/service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

# Distinct identities; the mock would make all computed values alike.
override_resource {
  target = google_service_account.service
  values = { member = "serviceAccount:service", email = "service@example", name = "accounts/service" }
}

run "defaults" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].containers[0].startup_probe[0].http_get[0].path == "/health"
    error_message = "the startup probe asks /health"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].containers[0].liveness_probe[0].http_get[0].path == "/health"
    error_message = "the liveness probe asks /health"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].containers[0].resources[0].startup_cpu_boost
    error_message = "cold starts get more CPU"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.scaling[0].min_instance_count == 0
    error_message = "idle costs nothing"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].scaling[0].min_instance_count == null
    error_message = "only the service has a minimum: a revision's would be kept running for as long as a tag names it"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].max_instance_request_concurrency == 16
    error_message = "16 requests at a time with 2 CPUs"
  }
  assert {
    condition = tonumber(one([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e.value if e.name == "THREADS"
    ])) > google_cloud_run_v2_service.predict.template[0].max_instance_request_concurrency
    error_message = "some threads are left over for probes"
  }
  assert {
    condition = tonumber(one([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e.value if e.name == "MAX_QUEUE"
    ])) >= google_cloud_run_v2_service.predict.template[0].max_instance_request_concurrency
    error_message = "all that Cloud Run sends is admitted"
  }
  assert {
    condition = one([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e.value if e.name == "REQUIRE_STRONG_AUTH"
    ]) == "true"
    error_message = "the published password is refused"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e
      if e.name == "BASIC_AUTH_PASSWORD" && length(e.value_source) == 1 && e.value == null
    ]) == 1
    error_message = "the password comes from Secret Manager and is not written out"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.service.role == "roles/secretmanager.secretAccessor"
    error_message = "the service may read its password"
  }
  assert {
    condition     = google_secret_manager_secret_version.password[0].secret_data_wo_version == "1" && google_secret_manager_secret_version.password[0].secret_data == null
    error_message = "a password is generated that the state does not contain"
  }
  assert {
    condition     = length(google_secret_manager_secret.password[0].replication[0].auto) == 1 && length(google_cloud_run_v2_service.predict.template[0].vpc_access) == 0
    error_message = "no regions, keys or networks of one's own unless given"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.invoker_iam_disabled && length(google_cloud_run_v2_service_iam_member.invokers) == 0
    error_message = "public by default: everyone may try the password"
  }
  assert {
    condition     = length(google_cloud_run_v2_service.predict.template[0].node_selector) == 0
    error_message = "no GPU by default"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if e.name == "MAX_PIXELS"
    ]) == 0
    error_message = "1Gi is enough for all pictures that the service takes"
  }
}

run "small" {
  command = plan
  variables {
    cpu    = 1
    memory = "512Mi"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].max_instance_request_concurrency == 8
    error_message = "8 requests at a time for each CPU"
  }
  assert {
    condition = one([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e.value if e.name == "MAX_PIXELS"
    ]) == "12000000"
    error_message = "pictures that do not fit into the memory are refused"
  }
}

run "concurrency" {
  command = plan
  variables { concurrency = 40 }
  assert {
    condition = google_cloud_run_v2_service.predict.template[0].max_instance_request_concurrency == 40 && length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if contains(["THREADS=48", "MAX_QUEUE=40"], "${e.name}=${coalesce(e.value, "-")}")
    ]) == 2
    error_message = "threads and queue follow the concurrency"
  }
}

run "applied" {
  # Terraform 1.11 cannot apply in a test what leaves an ephemeral variable out.
  variables { password = "a-long-enough-password" }

  # The mock invents computed values, but the references between them are real.
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].service_account == "service@example"
    error_message = "the service runs as its own identity"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.service.member == "serviceAccount:service"
    error_message = "it is the service's identity that may read the password"
  }
  assert {
    condition     = strcontains(output.curl, "$(gcloud secrets versions access latest --secret=age-gender-predict-basic-auth-password") && endswith(output.curl, "/predict")
    error_message = "the curl command fetches the password and asks /predict"
  }
  assert {
    condition     = !strcontains(output.curl, "X-Serverless-Authorization")
    error_message = "a public service needs no identity token"
  }
}

run "private" {
  variables {
    password = "a-long-enough-password"
    public   = false
    invokers = ["user:somebody@example.com"]
  }
  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.invokers) == ["user:somebody@example.com"] && !google_cloud_run_v2_service.predict.invoker_iam_disabled && google_cloud_run_v2_service_iam_member.invokers["user:somebody@example.com"].role == "roles/run.invoker"
    error_message = "only who is named may call"
  }
  assert {
    condition     = strcontains(output.curl, "X-Serverless-Authorization: Bearer $(gcloud auth print-identity-token)")
    error_message = "the curl command brings an identity token"
  }
}

run "behind_a_proxy" {
  command = plan
  variables {
    public         = false
    ingress        = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    invoker_agents = { proxy = "serviceAccount:proxy" }
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invokers["proxy"].member == "serviceAccount:proxy" && google_cloud_run_v2_service.predict.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    error_message = "the proxy may call, and only through the load balancer"
  }
}

run "refuses_an_agent_without_its_kind" {
  command = plan
  variables { invoker_agents = { proxy = "proxy@example.com" } }
  expect_failures = [var.invoker_agents]
}

run "options" {
  variables {
    password            = "a-long-enough-password"
    name                = "faces-predict"
    username            = "somebody"
    timeout_seconds     = 90
    deletion_protection = true
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.name == "faces-predict" && google_cloud_run_v2_service.predict.deletion_protection
    error_message = "the service has the name given and can be protected"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].timeout == "90s"
    error_message = "requests may take as long as asked for"
  }
  assert {
    condition     = strcontains(output.curl, "-u \"somebody:$(gcloud secrets versions access latest --secret=faces-predict-basic-auth-password")
    error_message = "the curl command has the user name"
  }
}

run "internal" {
  command = plan
  variables { ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
  assert {
    condition     = google_cloud_run_v2_service.predict.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "the internet can be kept out"
  }
}

run "own_password" {
  command = plan
  variables {
    password         = "a-long-enough-password"
    password_version = 2
  }
  assert {
    condition     = google_secret_manager_secret_version.password[0].secret_data_wo_version == "2" && google_secret_manager_secret_version.password[0].secret_data == null
    error_message = "a password given is a new version, and not in the state"
  }
}

run "one_region" {
  command = plan
  variables { secret_locations = ["europe-west1", "europe-west4"] }
  assert {
    condition     = length(google_secret_manager_secret.password[0].replication[0].auto) == 0 && [for r in google_secret_manager_secret.password[0].replication[0].user_managed[0].replicas : r.location] == ["europe-west1", "europe-west4"]
    error_message = "the password is stored where it may be"
  }
  assert {
    condition     = can(regex("^age-gender-predict-basic-auth-password-[0-9a-f]{6}$", google_secret_manager_secret.password[0].secret_id))
    error_message = "a secret that replaces another has another name"
  }
}

run "own_key_and_network" {
  command = plan
  variables {
    kms_key = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
    egress  = { network = "faces", subnetwork = "faces" }
  }
  assert {
    condition     = google_secret_manager_secret.password[0].replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name == var.kms_key && google_cloud_run_v2_service.predict.template[0].encryption_key == var.kms_key
    error_message = "the key encrypts the password, stored in its region, and the containers"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].vpc_access[0].egress == "ALL_TRAFFIC" && google_cloud_run_v2_service.predict.template[0].vpc_access[0].network_interfaces[0].network == "faces"
    error_message = "all connections go through the network"
  }
}

run "public_as_the_service_knows" {
  command = plan
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if contains(["AUTH=basic", "PUBLIC_ACCESS=true", "CORS_ORIGINS="], "${e.name}=${coalesce(e.value, "-")}")
    ]) == 2
    error_message = "the service knows that everyone gets through to it, and no page of others may call"
  }
}

run "keys_and_origins" {
  # An apply, since the command is known only then.
  variables {
    password         = "a-long-enough-password"
    auth             = "keys"
    auth_keys_secret = "callers"
    cors_origins     = ["https://app.example.com", "http://localhost:3000", "https://[2001:db8::1]"]
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if e.name == "AUTH_KEYS" && try(e.value_source[0].secret_key_ref[0].secret, "") == "projects/example-project/secrets/callers"
    ]) == 1
    error_message = "the keys come from Secret Manager"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if contains(["AUTH=keys", "CORS_ORIGINS=https://app.example.com,http://localhost:3000,https://[2001:db8::1]"], "${e.name}=${coalesce(e.value, "-")}") || startswith(e.name, "BASIC_AUTH_")
    ]) == 2
    error_message = "keys count, a password does not, and pages of these origins may call"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.keys[0].secret_id == "projects/example-project/secrets/callers" && google_secret_manager_secret_iam_member.keys[0].member == "serviceAccount:service"
    error_message = "it is the service's identity that may read the keys"
  }
  assert {
    condition     = strcontains(output.curl, "-H \"Authorization: Bearer $KEY\"") && !strcontains(output.curl, "-u ")
    error_message = "the curl command sends a key"
  }
}

run "cloud_run_checks_callers" {
  variables {
    password = "a-long-enough-password"
    auth     = "iam"
    public   = false
    invokers = ["user:somebody@example.com"]
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if contains(["AUTH=iam", "PUBLIC_ACCESS=false"], "${e.name}=${coalesce(e.value, "-")}") || length(e.value_source) > 0
    ]) == 2
    error_message = "the service relies on Cloud Run, and would not start if that let everyone through"
  }
  assert {
    condition     = length(google_secret_manager_secret.password) == 1 && !google_cloud_run_v2_service.predict.invoker_iam_disabled
    error_message = "Cloud Run checks callers, and revisions that need the password still have it"
  }
  assert {
    condition     = strcontains(output.curl, "Bearer $(gcloud auth print-identity-token)") && !strcontains(output.curl, "-u ")
    error_message = "the curl command sends a token and no password"
  }
}

run "refuses_that_nobody_checks" {
  command = plan
  variables { auth = "iam" }
  expect_failures = [var.auth]
}

run "refuses_to_check_nothing" {
  command = plan
  variables { auth = "off" }
  expect_failures = [var.auth]
}

run "refuses_keys_without_their_secret" {
  command = plan
  variables { auth = "keys" }
  expect_failures = [var.auth_keys_secret]
}

run "refuses_a_path_for_keys_and_for_an_origin" {
  command = plan
  variables {
    auth             = "keys"
    auth_keys_secret = "projects/example-project/secrets/callers"
    cors_origins     = ["https://app.example.com/page"]
  }
  expect_failures = [var.auth_keys_secret, var.cors_origins]
}

run "refuses_access_among_settings" {
  command = plan
  variables { settings = { PUBLIC_ACCESS = "false" } }
  expect_failures = [var.settings]
}

run "secret_made_elsewhere" {
  command = plan
  variables { password_secret = "made-elsewhere" }
  assert {
    condition     = length(google_secret_manager_secret.password) == 0 && length(google_secret_manager_secret_version.password) == 0
    error_message = "Terraform never sees the password"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.service.secret_id == "projects/example-project/secrets/made-elsewhere"
    error_message = "the service may read that secret"
  }
  assert {
    condition     = output.password_secret_version == "latest"
    error_message = "in the newest version"
  }
}

run "secret_made_elsewhere_in_one_version" {
  command = plan
  variables {
    password_secret         = "made-elsewhere"
    password_secret_version = "3"
  }
  assert {
    condition     = one([for env in google_cloud_run_v2_service.predict.template[0].containers[0].env : env.value_source[0].secret_key_ref[0].version if env.name == "BASIC_AUTH_PASSWORD"]) == "3"
    error_message = "another version makes a new revision"
  }
}

run "refuses_a_version_that_is_none" {
  command = plan
  variables { password_secret_version = "the newest" }
  expect_failures = [var.password_secret_version]
}

run "gpu" {
  command = plan
  variables {
    max_instances = 2
    gpu           = true
    cpu           = 4
    memory        = "16Gi"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].node_selector[0].accelerator == "nvidia-l4"
    error_message = "an L4"
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].containers[0].resources[0].limits["nvidia.com/gpu"] == "1" && google_cloud_run_v2_service.predict.template[0].containers[0].resources[0].cpu_idle == false
    error_message = "one GPU, and CPU that is always there"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if contains(["ENGINE=tensorflow", "GPU=True", "GPU_REQUIRED=True"], "${e.name}=${coalesce(e.value, "-")}")
    ]) == 3
    error_message = "TensorFlow uses the GPU, and nothing else"
  }
}

run "pictures_in_buckets" {
  command = plan
  variables {
    picture_buckets = ["some-pictures", "more-pictures"]
    settings        = { LOG = "debug" }
  }
  assert {
    condition     = google_storage_bucket_iam_member.pictures["more-pictures"].role == "roles/storage.objectViewer"
    error_message = "named buckets can be read, not written"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.predict.template[0].containers[0].env : e if contains(["GCS_BUCKETS=some-pictures,more-pictures", "LOG=debug"], "${e.name}=${coalesce(e.value, "-")}")
    ]) == 2
    error_message = "the service knows which buckets are allowed, and further settings reach it"
  }
}

run "refuses_concurrency_0" {
  command = plan
  variables { concurrency = 0 }
  expect_failures = [var.concurrency]
}

run "refuses_an_unknown_region_format" {
  command = plan
  variables { region = "Europe" }
  expect_failures = [var.region]
}

run "refuses_a_concurrency_above_cloud_runs" {
  command = plan
  variables { concurrency = 1001 }
  expect_failures = [var.concurrency]
}

run "refuses_a_label_in_capitals" {
  command = plan
  variables { labels = { Team = "faces" } }
  expect_failures = [var.labels]
}

run "refuses_too_little_memory" {
  command = plan
  variables { memory = "128Mi" }
  expect_failures = [var.memory]
}

run "refuses_more_than_a_new_project_may_use" {
  command = plan
  variables {
    gpu    = true
    cpu    = 4
    memory = "16Gi"
  }
  expect_failures = [google_cloud_run_v2_service.predict]
}

run "a_raised_quota" {
  command = plan
  variables {
    max_instances    = 100
    cpu_quota        = 200
    memory_quota_gib = 100
  }
  assert {
    condition     = google_cloud_run_v2_service.predict.template[0].scaling[0].max_instance_count == 100
    error_message = "more instances than a new project may use, where the quota has been raised"
  }
}

run "refuses_quotas_and_versions_below_1" {
  command = plan
  variables {
    cpu_quota        = 0
    memory_quota_gib = 0
    password_version = 0
  }
  expect_failures = [var.cpu_quota, var.memory_quota_gib, var.password_version]
}

run "refuses_a_key_elsewhere" {
  command = plan
  variables { kms_key = "projects/example-project/locations/us/keyRings/faces/cryptoKeys/faces" }
  expect_failures = [var.kms_key]
}

run "refuses_half_a_network_and_a_continent" {
  command = plan
  variables {
    egress           = { network = "faces", subnetwork = "" }
    secret_locations = ["EU"]
  }
  expect_failures = [var.egress, var.secret_locations]
}

run "refuses_half_a_gpu_machine" {
  command = plan
  variables { gpu = true }
  expect_failures = [google_cloud_run_v2_service.predict]
}

run "refuses_more_idle_than_there_may_be" {
  command = plan
  variables {
    min_instances = 5
    max_instances = 4
  }
  expect_failures = [google_cloud_run_v2_service.predict]
}

run "refuses_a_short_password" {
  command = plan
  variables { password = "kubes" }
  expect_failures = [var.password]
}

run "refuses_two_passwords" {
  command = plan
  variables {
    password        = "a-long-enough-password"
    password_secret = "made-elsewhere"
  }
  expect_failures = [var.password_secret]
}

run "refuses_settings_of_its_own" {
  command = plan
  variables { settings = { BASIC_AUTH_PASSWORD = "in the clear" } }
  expect_failures = [var.settings]
}

run "refuses_all_users_as_invoker" {
  command = plan
  variables {
    public   = false
    invokers = ["allUsers"]
  }
  expect_failures = [var.invokers]
}
