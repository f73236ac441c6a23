# No account is needed: the providers' schemas are enough.
mock_provider "google" {}
mock_provider "random" {}

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
    condition     = google_cloud_run_v2_service.predict.template[0].scaling[0].min_instance_count == 0
    error_message = "idle costs nothing"
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
    condition     = random_password.basic_auth[0].length == 32
    error_message = "a password is generated"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invokers["allUsers"].role == "roles/run.invoker"
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
    public   = false
    invokers = ["user:somebody@example.com"]
  }
  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.invokers) == ["user:somebody@example.com"]
    error_message = "only who is named may call"
  }
  assert {
    condition     = strcontains(output.curl, "X-Serverless-Authorization: Bearer $(gcloud auth print-identity-token)")
    error_message = "the curl command brings an identity token"
  }
}

run "options" {
  variables {
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
  variables { password = "a-long-enough-password" }
  assert {
    condition     = length(random_password.basic_auth) == 0 && google_secret_manager_secret_version.password[0].secret_data == "a-long-enough-password"
    error_message = "a password given is the one used"
  }
}

run "secret_made_elsewhere" {
  command = plan
  variables { password_secret = "made-elsewhere" }
  assert {
    condition     = length(google_secret_manager_secret.password) == 0 && length(random_password.basic_auth) == 0
    error_message = "Terraform never sees the password"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.service.secret_id == "projects/example-project/secrets/made-elsewhere"
    error_message = "the service may read that secret"
  }
}

run "gpu" {
  command = plan
  variables {
    gpu    = true
    cpu    = 4
    memory = "16Gi"
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

run "refuses_half_a_gpu_machine" {
  command = plan
  variables { gpu = true }
  expect_failures = [google_cloud_run_v2_service.predict]
}

run "refuses_more_idle_than_there_may_be" {
  command = plan
  variables {
    min_instances = 11
    max_instances = 10
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
