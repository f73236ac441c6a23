# No account is needed: the providers' schemas are enough.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id    = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/age-gender/service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  input_bucket  = "example-pictures"
  output_bucket = "example-results"
}

# Distinct identities; the mock would make all computed values alike.
override_resource {
  target = google_service_account.annotate
  values = { member = "serviceAccount:annotate", email = "annotate@example", name = "accounts/annotate" }
}
override_resource {
  target = google_service_account.trigger
  values = { member = "serviceAccount:trigger", email = "trigger@example", name = "accounts/trigger" }
}
override_resource {
  target = google_service_account.backfill
  values = { member = "serviceAccount:backfill", email = "backfill@example", name = "accounts/backfill" }
}
override_resource {
  target = google_project_service_identity.pubsub
  values = { member = "serviceAccount:pubsub-agent" }
}
override_resource {
  target = google_project_service_identity.eventarc
  values = { member = "serviceAccount:eventarc-agent" }
}
override_data {
  target = data.google_storage_project_service_account.agent
  values = { member = "serviceAccount:storage-agent" }
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
    condition     = google_cloud_run_v2_job.backfill.template[0].task_count == 4 && google_cloud_run_v2_job.backfill.template[0].template[0].containers[0].command == tolist(["python", "-m", "age_gender.batch.backfill"])
    error_message = "the back-fill runs in four shards"
  }
  assert {
    condition     = google_cloud_run_v2_job.backfill.template[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "1Gi" })
    error_message = "a task judges one picture at a time, which fits into its memory whatever it is"
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
    condition     = google_eventarc_trigger.uploads.service_account == "trigger@example"
    error_message = "the trigger has its own identity"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.trigger_invokes.member == "serviceAccount:trigger" && google_project_iam_member.trigger_receives.member == "serviceAccount:trigger"
    error_message = "it is the trigger's identity that may receive and call"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.template[0].service_account == "annotate@example"
    error_message = "the service runs as its own identity"
  }
  assert {
    condition     = alltrue([for m in [google_storage_bucket_iam_member.annotate_reads_input, google_storage_bucket_iam_member.annotate_reads_output, google_storage_bucket_iam_member.annotate_adds_output] : m.member == "serviceAccount:annotate"])
    error_message = "it is the service's identity that may read pictures and add results"
  }
  assert {
    condition     = google_cloud_run_v2_job.backfill.template[0].template[0].service_account == "backfill@example"
    error_message = "the job runs as its own identity"
  }
  assert {
    condition     = google_storage_bucket_iam_member.backfill_reads_input.member == "serviceAccount:backfill" && google_storage_bucket_iam_member.backfill_writes_output.member == "serviceAccount:backfill"
    error_message = "it is the job's identity that may replace results"
  }
  assert {
    condition     = google_project_iam_member.storage_publishes.member == "serviceAccount:storage-agent"
    error_message = "Cloud Storage's own identity may tell of uploads"
  }
  assert {
    condition     = google_project_iam_member.eventarc_works.member == "serviceAccount:eventarc-agent" && google_project_iam_member.eventarc_works.role == "roles/eventarc.serviceAgent"
    error_message = "Eventarc's own identity may work, in a new project, too"
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letters_published.member == "serviceAccount:pubsub-agent" && google_pubsub_subscription_iam_member.dead_letters_moved.member == "serviceAccount:pubsub-agent"
    error_message = "Pub/Sub's own identity may move dead letters"
  }
  assert {
    condition     = strcontains(output.retry_command, "--dead-letter-topic=age-gender-annotate-dead-letters --max-delivery-attempts=10")
    error_message = "ten attempts, then the dead-letter topic"
  }
}

run "options" {
  command = plan
  variables {
    name                = "faces-annotate"
    input_prefix        = "uploads/"
    force_destroy       = true
    max_instances       = 3
    timeout_seconds     = 600
    backfill_shards     = 20
    deletion_protection = true
    labels              = { team = "faces" }
  }
  assert {
    condition     = alltrue([for b in [google_storage_bucket.input[0], google_storage_bucket.output[0]] : b.force_destroy && b.labels == tomap({ team = "faces" })])
    error_message = "buckets can be deleted with what is in them, and have the labels"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.deletion_protection && google_cloud_run_v2_job.backfill.deletion_protection
    error_message = "service and job can be protected"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.template[0].timeout == "600s" && google_cloud_run_v2_service.annotate.template[0].scaling[0].max_instance_count == 3
    error_message = "time and instances are limited as asked for"
  }
  assert {
    condition = length([
      for e in google_cloud_run_v2_service.annotate.template[0].containers[0].env : e
      if contains(["INPUT_PREFIX=uploads/", "QUEUE_TIMEOUT=300"], "${e.name}=${e.value}")
    ]) == 2
    error_message = "the service knows the prefix, and gives events up before Pub/Sub does"
  }
  assert {
    condition     = google_cloud_run_v2_job.backfill.name == "faces-annotate-backfill" && google_cloud_run_v2_job.backfill.template[0].parallelism == 20
    error_message = "all shards of the back-fill run at the same time"
  }
  assert {
    condition     = strcontains(output.try_it, "gs://example-pictures/uploads/")
    error_message = "the command to try puts the picture where it is looked for"
  }
}

run "more_cpus" {
  command = plan
  variables {
    cpu          = 4
    backfill_cpu = 2
    memory       = "2Gi"
  }
  assert {
    condition = google_cloud_run_v2_service.annotate.template[0].max_instance_request_concurrency == 16 && length([
      for e in google_cloud_run_v2_service.annotate.template[0].containers[0].env : e
      if contains(["THREADS=20", "MAX_QUEUE=16", "ANNOTATE_IN_FLIGHT=16"], "${e.name}=${e.value}")
    ]) == 3
    error_message = "4 events at a time for each CPU, and all of them are worked on"
  }
  assert {
    condition     = google_cloud_run_v2_job.backfill.template[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "2", memory = "2Gi" })
    error_message = "tasks have CPUs of their own count"
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

run "refuses_a_prefix_with_the_bucket_in_it" {
  command = plan
  variables { output_prefix = "gs://example-results/run-1/" }
  expect_failures = [var.output_prefix]
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
