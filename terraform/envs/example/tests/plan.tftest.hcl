# No account is needed: the providers' schemas are enough.
mock_provider "google" {}
mock_provider "google-beta" {}
mock_provider "random" {}

variables {
  project_id = "example-project"
}

# Distinct identities; the mock would make all computed values alike.
override_resource {
  target = google_service_account.build
  values = { member = "serviceAccount:build", email = "build@example", name = "accounts/build" }
}

run "all_in_one_apply" {
  command = plan

  assert {
    condition     = keys(terraform_data.image) == ["cpu"] && terraform_data.image["cpu"].triggers_replace == "first"
    error_message = "the image is built from this checkout, anew for another release"
  }
  assert {
    condition     = output.buckets.input == "example-project-pictures" && output.buckets.output == "example-project-results"
    error_message = "buckets are named after the project"
  }
  assert {
    condition     = output.gpu_manifests == null && !contains(keys(google_project_service.apis), "container.googleapis.com")
    error_message = "no cluster unless asked for"
  }
  assert {
    condition     = length(setintersection(keys(google_project_service.apis), ["eventarc.googleapis.com", "ondemandscanning.googleapis.com", "cloudresourcemanager.googleapis.com"])) == 3
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

run "with_a_gpu" {
  variables {
    gke_gpu   = true
    image     = "europe-west1-docker.pkg.dev/example-project/age-gender/service:1"
    gpu_image = "europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu:1"
    # No gcloud in a test.
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
    condition     = google_storage_bucket_iam_member.build_reads_sources.member == "serviceAccount:build" && google_secret_manager_secret_iam_member.build_tests.member == "serviceAccount:build"
    error_message = "the build may read its sources, and the password for its smoke test"
  }
  assert {
    condition     = strcontains(output.release, "--service-account=accounts/build --gcs-source-staging-dir=gs://example-project-age-gender-build/source --substitutions=_REGION=europe-west1,_REPOSITORY=age-gender,_SERVICE=age-gender-predict,") && !strcontains(output.release, "_ANNOTATE_SERVICE")
    error_message = "the release command names what there is"
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
    image            = "europe-west1-docker.pkg.dev/example-project/age-gender/service:1"
    release          = "second"
    min_instances    = 1
    max_instances    = 5
    public           = false
    invokers         = ["user:somebody@example.com"]
    password_secret  = "made-elsewhere"
    picture_buckets  = ["some-pictures"]
    input_bucket     = "faces-in"
    output_bucket    = "faces-out"
    annotated_image  = "blurred"
    bigquery_dataset = "faces"
  }
  assert {
    condition     = output.buckets == { input = "faces-in", output = "faces-out" }
    error_message = "buckets have the names given"
  }
  assert {
    condition     = contains(keys(google_project_service.apis), "bigquery.googleapis.com")
    error_message = "a dataset needs BigQuery"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.build_tests.secret_id == "made-elsewhere"
    error_message = "the build's smoke test knows the secret that is used"
  }
}

run "own_password" {
  command = plan
  variables { password = "a-long-enough-password" }
  assert {
    condition     = google_secret_manager_secret_iam_member.build_tests.secret_id == "age-gender-predict-basic-auth-password"
    error_message = "a password given is kept in Secret Manager"
  }
}

run "builds_both_images" {
  command = plan
  variables { gke_gpu = true }
  assert {
    condition     = keys(terraform_data.image) == ["cpu", "gpu"]
    error_message = "the GPU's image is built, too"
  }
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
    condition     = keys(google_project_service.monitoring) == ["billingbudgets.googleapis.com", "logging.googleapis.com", "monitoring.googleapis.com"]
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
