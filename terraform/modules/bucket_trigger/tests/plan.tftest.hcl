variables {
  project_id    = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/age-gender/service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  input_bucket  = "example-pictures"
  output_bucket = "example-results"
}

run "defaults" {
  command = plan

  assert {
    condition     = google_storage_bucket.input[0].uniform_bucket_level_access && google_storage_bucket.output[0].uniform_bucket_level_access
    error_message = "access is by IAM alone"
  }
  assert {
    condition     = google_storage_bucket.input[0].public_access_prevention == "enforced" && google_storage_bucket.output[0].public_access_prevention == "enforced"
    error_message = "pictures of people can never be made public"
  }
  assert {
    condition     = length(google_storage_bucket.input[0].lifecycle_rule) == 0
    error_message = "nothing is deleted unless asked for"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "the service is not for the outside"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.annotate.template[0].containers[0].env : e
      if contains(["FUNCTION_TARGET=annotate", "FUNCTION_SIGNATURE_TYPE=cloudevent", "INPUT_BUCKET=example-pictures", "OUTPUT_BUCKET=example-results"], "${e.name}=${e.value}")
    ]) == 4
    error_message = "the service annotates uploads of one bucket into the other"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.template[0].containers[0].startup_probe[0].tcp_socket[0].port == 8080
    error_message = "the probe asks for the port: a service for events answers no GET"
  }
  assert {
    condition     = { for c in google_eventarc_trigger.uploads.matching_criteria : c.attribute => c.value } == { type = "google.cloud.storage.object.v1.finalized", bucket = "example-pictures" }
    error_message = "finished uploads to the input bucket trigger"
  }
  assert {
    condition     = google_eventarc_trigger.uploads.location == "europe-west1"
    error_message = "the trigger is where the bucket is"
  }
  assert {
    condition     = google_storage_bucket_iam_member.annotate_adds_output.role == "roles/storage.objectCreator"
    error_message = "the service adds results and cannot change any"
  }
  assert {
    condition     = google_project_iam_member.storage_publishes.role == "roles/pubsub.publisher"
    error_message = "storage may tell of uploads"
  }
  assert {
    condition     = google_project_iam_member.trigger_receives.role == "roles/eventarc.eventReceiver" && google_cloud_run_v2_service_iam_member.trigger_invokes.role == "roles/run.invoker"
    error_message = "the trigger may receive events and call the service"
  }
  assert {
    condition     = google_cloud_run_v2_job.backfill.template[0].task_count == 4 && google_cloud_run_v2_job.backfill.template[0].template[0].containers[0].command == tolist(["python", "-m", "age_gender.backfill"])
    error_message = "the back-fill runs in four shards"
  }
  assert {
    condition     = length(google_bigquery_table.pictures) == 0
    error_message = "no table unless asked for"
  }
  assert {
    condition     = length(terraform_data.retry_policy) == 1
    error_message = "the subscription gets its retry policy"
  }
}

run "applied" {
  variables { set_retry_policy = false }

  assert {
    condition     = google_eventarc_trigger.uploads.service_account == google_service_account.trigger.email
    error_message = "the trigger has its own identity"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.trigger_invokes.member == google_service_account.trigger.member
    error_message = "it is the trigger's identity that may call"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.template[0].service_account == google_service_account.annotate.email && google_storage_bucket_iam_member.annotate_reads_input.member == google_service_account.annotate.member
    error_message = "the service runs as the identity that may read pictures"
  }
  assert {
    condition     = google_cloud_run_v2_job.backfill.template[0].template[0].service_account == google_service_account.backfill.email
    error_message = "the job runs as its own identity"
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letters_published.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub's own identity may write dead letters"
  }
  assert {
    condition     = strcontains(output.retry_command, "--dead-letter-topic=age-gender-annotate-dead-letters --max-delivery-attempts=10")
    error_message = "ten attempts, then the dead-letter topic"
  }
}

run "buckets_that_are_there" {
  command = plan
  variables {
    create_input_bucket  = false
    create_output_bucket = false
    bucket_location      = "EU"
  }
  assert {
    condition     = length(google_storage_bucket.input) == 0 && length(google_storage_bucket.output) == 0
    error_message = "no bucket is made"
  }
  assert {
    condition     = google_eventarc_trigger.uploads.location == "eu"
    error_message = "the trigger is where the bucket is"
  }
}

run "kept_for_a_while" {
  command = plan
  variables {
    input_versioning  = true
    output_versioning = true
    input_days        = 7
    output_days       = 90
  }
  assert {
    condition     = google_storage_bucket.input[0].versioning[0].enabled && google_storage_bucket.output[0].versioning[0].enabled
    error_message = "versions are kept"
  }
  assert {
    condition     = length(google_storage_bucket.input[0].lifecycle_rule) == 2 && one(google_storage_bucket.output[0].lifecycle_rule[0].condition).age == 90
    error_message = "old pictures, old versions and old results go"
  }
}

run "with_a_table" {
  command = plan
  variables {
    bigquery_dataset = "faces"
    output_prefix    = "run-1/"
    annotated_image  = "blurred"
    settings         = { ANNOTATE_MIN_FACE = "40" }
  }
  assert {
    condition     = google_bigquery_table.pictures[0].external_data_configuration[0].source_uris == tolist(["gs://example-results/run-1/manifest-*.jsonl"])
    error_message = "the table reads the manifests of all shards"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_job.backfill.template[0].template[0].containers[0].env : e
      if contains(["ANNOTATE_IMAGE=blurred", "ANNOTATE_MIN_FACE=40", "OUTPUT_PREFIX=run-1/"], "${e.name}=${e.value}")
    ]) == 3
    error_message = "the job has the same settings as the service"
  }
}

run "refuses_one_bucket_for_both" {
  command = plan
  variables { output_bucket = "example-pictures" }
  expect_failures = [var.output_bucket]
}

run "refuses_concurrency_0" {
  command = plan
  variables { concurrency = 0 }
  expect_failures = [var.concurrency]
}

run "refuses_an_unknown_region_format" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}

run "refuses_a_zone_for_buckets" {
  command = plan
  variables { bucket_location = "europe-west1-b" }
  expect_failures = [var.bucket_location]
}

run "refuses_to_give_up_too_soon" {
  command = plan
  variables { max_delivery_attempts = 1 }
  expect_failures = [var.max_delivery_attempts]
}

run "refuses_an_unknown_kind_of_image" {
  command = plan
  variables { annotated_image = "cropped" }
  expect_failures = [var.annotated_image]
}

run "refuses_settings_of_its_own" {
  command = plan
  variables { settings = { OUTPUT_BUCKET = "elsewhere" } }
  expect_failures = [var.settings]
}

run "refuses_little_memory_with_many_cpus" {
  command = plan
  variables { cpu = 8 }
  expect_failures = [google_cloud_run_v2_service.annotate]
}
