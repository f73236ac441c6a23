# No account is needed: the providers' schemas are enough.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "example-project"
}

# Distinct identities; the mock would make all computed values alike.
override_resource {
  target = google_service_account.build
  values = { member = "serviceAccount:build", email = "build@example", name = "accounts/build" }
}
override_resource {
  target = google_service_account.test
  values = { member = "serviceAccount:test", email = "test@example", name = "accounts/test" }
}
run "all_in_one_apply" {
  command = plan

  assert {
    condition     = keys(terraform_data.image) == ["cpu"] && endswith(terraform_data.image["cpu"].input, "/age-gender/service:first")
    error_message = "the first image is built from this checkout"
  }
  assert {
    condition     = output.buckets.input == "example-project-pictures" && output.buckets.output == "example-project-results"
    error_message = "buckets are named after the project"
  }
  assert {
    condition     = output.gpu_manifests == null && !contains(module.project.services, "container.googleapis.com")
    error_message = "no cluster unless asked for"
  }
  assert {
    condition     = length(setintersection(module.project.services, ["pubsub.googleapis.com", "ondemandscanning.googleapis.com", "cloudresourcemanager.googleapis.com"])) == 3
    error_message = "the APIs that are needed are enabled"
  }
  assert {
    condition     = google_service_account_iam_member.build_deploys["predict"].role == "roles/iam.serviceAccountUser"
    error_message = "releases may run as the service's identity"
  }
  assert {
    condition     = keys(google_service_account_iam_member.build_deploys) == ["annotate", "backfill", "predict"]
    error_message = "and as those of the trigger and the back-fill"
  }
  assert {
    condition     = !contains(keys(google_project_iam_member.build), "roles/storage.objectViewer") && google_storage_bucket.sources.public_access_prevention == "enforced"
    error_message = "the build reads its own sources and nobody's pictures"
  }
}

run "with_a_gpu_cluster" {
  variables {
    # Terraform 1.11 cannot apply in a test what leaves an ephemeral variable out.
    password       = "a-long-enough-password"
    gpu_quota      = 2
    public         = false
    gke_gpu        = true
    image          = "europe-west1-docker.pkg.dev/example-project/age-gender/service:1"
    gpu_image      = "europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu:1"
    bucket_trigger = false
  }
  assert {
    condition     = strcontains(output.gpu_manifests, "image: europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu:1")
    error_message = "pods run the image with CUDA"
  }
  assert {
    condition     = strcontains(output.gpu_apply, "--secret=age-gender-predict-basic-auth-password")
    error_message = "the cluster has the same password"
  }
  assert {
    condition     = google_storage_bucket_iam_member.sources_read["build"].member == "serviceAccount:build" && google_secret_manager_secret_iam_member.build_tests.member == "serviceAccount:build"
    error_message = "the build may read its sources, and the password for its smoke test"
  }
  assert {
    condition     = startswith(output.release, "gcloud builds submit . --config=cloudbuild.test.yaml --project=example-project --region=europe-west1 --service-account=accounts/test ") && strcontains(output.release, "--config=cloudbuild.yaml --project=example-project --region=europe-west1 --service-account=accounts/build --gcs-source-staging-dir=gs://example-project-age-gender-build/source --gcs-log-dir=gs://example-project-age-gender-build-logs/log --substitutions=_REGION=europe-west1,_REPOSITORY=age-gender,_TARGET=cpu,_REVISION=$(git rev-parse HEAD),_SERVICE=age-gender-predict,") && !strcontains(output.release, "_ANNOTATE_SERVICE")
    error_message = "the release commands test first, as another identity, and name what there is"
  }
  assert {
    condition     = strcontains(output.release, "_TARGET=gpu,_REVISION=$(git rev-parse HEAD),_SERVICE=") && !strcontains(output.promote, "_TARGET=gpu")
    error_message = "the GPU's image is built, too, and kubectl deploys it"
  }
  assert {
    condition     = google_service_account_iam_member.build_identifies[0].role == "roles/iam.serviceAccountOpenIdTokenCreator" && google_service_account_iam_member.build_identifies[0].member == "serviceAccount:build"
    error_message = "the build may prove its identity to a private service, and no more"
  }
  assert {
    condition     = strcontains(output.gpu_delete, "kubectl delete namespace") && strcontains(output.gpu_quota, "regions describe europe-west1")
    error_message = "commands say what to do before and after"
  }
  assert {
    condition     = output.buckets == null
    error_message = "the trigger can be left out"
  }
  assert {
    condition     = length(terraform_data.image) == 0
    error_message = "images that are given are not built"
  }
}

run "options" {
  command = plan
  variables {
    image                  = "europe-west1-docker.pkg.dev/example-project/age-gender/service:1"
    build_region           = "us-central1"
    registry_mirror        = "mirror.gcr.io"
    keep_releases          = 5
    min_instances          = 1
    max_instances          = 5
    annotate_max_instances = 1
    backfill_shards        = 2
    secret_locations       = ["europe-west1"]
    bucket_location        = "EUR4"
    input_days             = 7
    soft_delete_days       = 0
    force_destroy          = true
    deletion_protection    = true
    labels                 = { team = "faces" }
    public                 = false
    invokers               = ["user:somebody@example.com"]
    password_secret        = "made-elsewhere"
    picture_buckets        = ["some-pictures"]
    input_bucket           = "faces-in"
    output_bucket          = "faces-out"
    annotated_image        = "blurred"
    bigquery_dataset       = "faces"
  }
  assert {
    condition     = output.buckets == { input = "faces-in", output = "faces-out" }
    error_message = "buckets have the names given"
  }
  assert {
    condition     = contains(module.project.services, "bigquery.googleapis.com")
    error_message = "a dataset needs BigQuery"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.build_tests.secret_id == "made-elsewhere"
    error_message = "the build's smoke test knows the secret that is used"
  }
}

run "own_password" {
  command = plan
  variables {
    password         = "a-long-enough-password"
    password_version = 2
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.build_tests.secret_id == "age-gender-predict-basic-auth-password"
    error_message = "a password given is kept in Secret Manager"
  }
}

run "keys_and_origins" {
  command = plan
  variables {
    auth             = "keys"
    auth_keys_secret = "callers"
    cors_origins     = ["https://app.example.com"]
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.build_tests_keys[0].secret_id == "callers" && strcontains(output.promote, "_AUTH=keys,") && strcontains(output.promote, "_SECRET=callers")
    error_message = "the smoke test uses a key"
  }
}

run "releases_what_another_environment_has_tried" {
  command = plan
  variables { image = "europe-west1-docker.pkg.dev/my-staging/age-gender/service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  assert {
    condition     = strcontains(output.release_image, ",_BUILD=false,_IMAGE=$IMAGE,_SERVICE=age-gender-predict,") && strcontains(output.release_image, ",_ANNOTATE_SERVICE=age-gender-annotate,")
    error_message = "the command names the image and all that gets it"
  }
}

run "cloud_run_checks_callers" {
  command = plan
  variables {
    auth     = "iam"
    public   = false
    invokers = ["user:somebody@example.com"]
  }
  assert {
    condition     = length(google_secret_manager_secret_iam_member.build_tests_keys) == 0 && strcontains(output.promote, "_AUTH=iam,") && length(google_service_account_iam_member.build_identifies) == 1
    error_message = "the smoke test proves its identity"
  }
}

run "refuses_that_nobody_checks" {
  command = plan
  variables { auth = "iam" }
  expect_failures = [var.auth]
}

run "refuses_keys_without_their_secret" {
  command = plan
  variables { auth = "keys" }
  expect_failures = [var.auth_keys_secret]
}

run "refuses_an_origin_with_a_path" {
  command = plan
  variables { cors_origins = ["https://app.example.com/page"] }
  expect_failures = [var.cors_origins]
}

run "builds_both_images" {
  command = plan
  variables {
    gke_gpu   = true
    gpu_quota = 1
  }
  assert {
    condition     = keys(terraform_data.image) == ["cpu", "gpu"]
    error_message = "the GPU's image is built, too"
  }
}

run "a_gpu_on_cloud_run" {
  command = plan
  variables {
    gpu               = true
    gpu_max_instances = 1
  }
  assert {
    condition     = keys(terraform_data.image) == ["cpu", "gpu"] && !contains(module.project.services, "container.googleapis.com")
    error_message = "no cluster is needed, and the others keep the CPU's image"
  }
  assert {
    condition     = module.predict.name == "age-gender-predict" && module.predict_gpu[0].name == "age-gender-predict-gpu"
    error_message = "the service without a GPU stays"
  }
  assert {
    condition     = module.predict_gpu[0].password_secret == module.predict.password_secret && length(google_service_account_iam_member.build_deploys) == 4
    error_message = "both take the same password, and releases may run as both"
  }
}

run "own_key_network_and_name" {
  command = plan
  variables {
    kms_key             = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
    vpc_egress          = true
    public              = false
    domain              = "faces.example.com"
    requests_per_minute = 60
    allowed_ranges      = ["203.0.113.0/24"]
    iap_members         = ["group:faces@example.com"]
  }
  assert {
    condition     = length(setintersection(module.project.services, ["cloudkms.googleapis.com", "compute.googleapis.com", "iap.googleapis.com"])) == 3
    error_message = "the APIs that are needed are enabled"
  }
  assert {
    condition     = output.url == "https://faces.example.com"
    error_message = "the service has its own name"
  }
}

run "refuses_more_than_a_new_project_may_use" {
  command = plan
  variables { max_instances = 10 }
  expect_failures = [var.cpu_quota]
}

run "refuses_two_gpu_machines_of_a_new_project" {
  command = plan
  variables {
    gpu               = true
    gpu_max_instances = 2
    cpu_quota         = 100
    memory_quota_gib  = 40
  }
  expect_failures = [var.memory_quota_gib]
}

run "refuses_a_cluster_without_gpus" {
  command = plan
  variables { gke_gpu = true }
  expect_failures = [var.gpu_quota]
}

run "refuses_the_proxy_without_a_name" {
  command = plan
  variables { iap_members = ["group:faces@example.com"] }
  expect_failures = [var.iap_members]
}

run "refuses_an_unknown_region_format" {
  command = plan
  variables { region = "Belgium" }
  expect_failures = [var.region]
}

run "refuses_half_an_image_name" {
  command = plan
  variables { image = "service:1" }
  expect_failures = [var.image]
}

run "watched" {
  command = plan
  variables {
    monitoring      = true
    alert_emails    = ["somebody@example.com"]
    billing_account = "012345-6789AB-CDEF01"
    budget          = 50
  }
  assert {
    condition     = length(setsubtract(["billingbudgets.googleapis.com", "logging.googleapis.com", "monitoring.googleapis.com"], module.project.services)) == 0
    error_message = "the APIs that watching needs are enabled"
  }
  assert {
    condition     = length(module.monitoring[0].log_metrics) == 4
    error_message = "trigger and predictions are watched"
  }
}

run "refuses_a_budget_without_monitoring" {
  command = plan
  variables { billing_account = "012345-6789AB-CDEF01" }
  expect_failures = [var.billing_account]
}

run "refuses_addresses_without_monitoring" {
  command = plan
  variables { alert_emails = ["somebody@example.com"] }
  expect_failures = [var.alert_emails]
}

run "refuses_one_bucket_for_both" {
  command = plan
  variables {
    input_bucket  = "faces-in"
    output_bucket = "faces-in"
  }
  expect_failures = [var.output_bucket]
}

run "refuses_the_published_password" {
  command = plan
  variables { password = "kubes" }
  expect_failures = [var.password]
}
