# No account is needed: the providers' schemas are enough.
mock_provider "google" {}

variables {
  project_id    = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/age-gender/service@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  input_bucket  = "example-pictures"
  output_bucket = "example-results"
  storage_agent = "serviceAccount:storage-agent"
  pubsub_agent  = "serviceAccount:pubsub-agent"
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
  target = google_cloud_run_v2_service.annotate
  values = { uri = "https://annotate.example" }
}
override_resource {
  target = google_pubsub_topic.uploads
  values = { id = "projects/example-project/topics/uploads" }
}
override_resource {
  target = google_pubsub_topic.dead_letters
  values = { id = "projects/example-project/topics/dead-letters" }
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
    condition     = google_storage_notification.uploads.event_types == toset(["OBJECT_FINALIZE"]) && google_storage_notification.uploads.bucket == "example-pictures" && google_storage_notification.uploads.payload_format == "JSON_API_V1"
    error_message = "finished uploads to the input bucket are announced, with their description"
  }
  assert {
    condition     = google_storage_notification.uploads.object_name_prefix == null
    error_message = "all uploads are"
  }
  assert {
    condition     = google_pubsub_subscription.uploads.ack_deadline_seconds == 120 && google_pubsub_subscription.uploads.dead_letter_policy[0].max_delivery_attempts == 100 && google_pubsub_subscription.uploads.retry_policy[0].minimum_backoff == "10s"
    error_message = "the subscription waits for the service, tries a hundred times, more and more slowly, then sets aside"
  }
  assert {
    condition     = google_pubsub_subscription.uploads.expiration_policy[0].ttl == "" && google_pubsub_subscription.dead_letters.expiration_policy[0].ttl == ""
    error_message = "subscriptions stay through a month without uploads"
  }
  assert {
    condition     = google_storage_bucket.input[0].soft_delete_policy[0].retention_duration_seconds == 604800
    error_message = "what is deleted can be restored for a week"
  }
  assert {
    condition     = length(google_storage_bucket.input[0].encryption) == 0 && google_pubsub_topic.uploads.kms_key_name == null && length(google_cloud_run_v2_service.annotate.template[0].vpc_access) == 0
    error_message = "no key and no network of one's own unless given"
  }
  assert {
    condition     = google_storage_bucket_iam_member.annotate_adds_output.role == "roles/storage.objectCreator"
    error_message = "the service adds results and cannot change any"
  }
  assert {
    condition     = google_pubsub_topic_iam_member.uploads_published.role == "roles/pubsub.publisher"
    error_message = "storage may tell of uploads"
  }
  assert {
    condition     = google_service_account_iam_member.trigger_signed.role == "roles/iam.serviceAccountOpenIdTokenCreator" && google_cloud_run_v2_service_iam_member.trigger_invokes.role == "roles/run.invoker"
    error_message = "the subscription may sign its calls and call the service"
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
    condition     = google_cloud_run_v2_service.annotate.scaling[0].min_instance_count == 0
    error_message = "idle costs nothing"
  }
  assert {
    condition     = length(google_bigquery_table.pictures) == 0
    error_message = "no table unless asked for"
  }
}

run "applied" {
  assert {
    condition     = google_pubsub_subscription.uploads.push_config[0].push_endpoint == "https://annotate.example" && google_pubsub_subscription.uploads.push_config[0].oidc_token[0].service_account_email == "trigger@example" && google_pubsub_subscription.uploads.push_config[0].oidc_token[0].audience == "https://annotate.example"
    error_message = "the subscription calls the service as its own identity"
  }
  assert {
    condition     = output.replay_command == "gcloud pubsub subscriptions modify-push-config age-gender-annotate-dead-letters --project=example-project --push-endpoint=https://annotate.example --push-auth-service-account=trigger@example" && endswith(output.replay_end_command, " --push-endpoint=")
    error_message = "dead letters are delivered again as uploads are"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.trigger_invokes.member == "serviceAccount:trigger"
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
    condition     = google_pubsub_topic_iam_member.uploads_published.member == "serviceAccount:storage-agent" && google_storage_notification.uploads.topic == "projects/example-project/topics/uploads"
    error_message = "Cloud Storage's own identity may tell of uploads"
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letters_published.member == "serviceAccount:pubsub-agent" && google_pubsub_subscription_iam_member.dead_letters_moved.member == "serviceAccount:pubsub-agent" && google_pubsub_subscription_iam_member.dead_letters_moved.subscription == google_pubsub_subscription.uploads.name
    error_message = "Pub/Sub's own identity may move dead letters"
  }
  assert {
    condition     = google_service_account_iam_member.trigger_signed.member == "serviceAccount:pubsub-agent" && google_service_account_iam_member.trigger_signed.service_account_id == "accounts/trigger"
    error_message = "Pub/Sub's own identity may sign as the trigger"
  }
  assert {
    condition     = google_pubsub_subscription.uploads.dead_letter_policy[0].dead_letter_topic == "projects/example-project/topics/dead-letters"
    error_message = "what fails goes to the dead-letter topic"
  }
}

run "options" {
  command = plan
  variables {
    name                  = "faces-annotate"
    input_prefix          = "uploads/"
    force_destroy         = true
    max_instances         = 3
    timeout_seconds       = 600
    max_delivery_attempts = 5
    backfill_shards       = 20
    deletion_protection   = true
    labels                = { team = "faces" }
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
      if contains(["INPUT_PREFIX=uploads/", "QUEUE_TIMEOUT=300", "ANNOTATE_RETRY_SECONDS=150"], "${e.name}=${e.value}")
    ]) == 3
    error_message = "the service knows the prefix, and gives events up before Pub/Sub does"
  }
  assert {
    condition     = google_pubsub_subscription.uploads.ack_deadline_seconds == 600 && google_pubsub_subscription.uploads.dead_letter_policy[0].max_delivery_attempts == 5 && google_storage_notification.uploads.object_name_prefix == "uploads/"
    error_message = "the subscription follows"
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

run "retries" {
  command = plan
  variables { retry_seconds = 20 }
  assert {
    condition = tonumber(one([
      for e in google_cloud_run_v2_service.annotate.template[0].containers[0].env : e.value if e.name == "ANNOTATE_RETRY_SECONDS"
    ])) == 20
    error_message = "the service tries again for as long as asked for"
  }
}

run "refuses_to_try_again_until_pubsub_gives_up" {
  command = plan
  variables {
    timeout_seconds = 60
    retry_seconds   = 30
  }
  expect_failures = [var.retry_seconds]
}

run "refuses_times_among_settings" {
  command = plan
  variables { settings = { ANNOTATE_RETRY_SECONDS = "500" } }
  expect_failures = [var.settings]
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
    bucket_location      = "EUR4"
  }
  assert {
    condition     = length(google_storage_bucket.input) == 0 && length(google_storage_bucket.output) == 0
    error_message = "no bucket is made"
  }
}

run "kept_for_a_while" {
  command = plan
  variables {
    input_versioning        = true
    output_versioning       = true
    input_days              = 7
    output_days             = 90
    input_soft_delete_days  = 0
    output_soft_delete_days = 30
  }
  assert {
    condition     = google_storage_bucket.input[0].soft_delete_policy[0].retention_duration_seconds == 0 && google_storage_bucket.output[0].soft_delete_policy[0].retention_duration_seconds == 2592000
    error_message = "deleting pictures erases them, and results stay for a month"
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

run "pair_of_regions" {
  command = plan
  variables { bucket_location = "EUR4" }
  assert {
    condition     = google_storage_bucket.input[0].location == "EUR4"
    error_message = "buckets can be in two regions"
  }
}

run "own_key_and_network" {
  command = plan
  variables {
    kms_key          = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
    egress           = { network = "faces", subnetwork = "faces" }
    bigquery_dataset = "faces"
  }
  assert {
    condition     = google_bigquery_dataset.results[0].default_encryption_configuration[0].kms_key_name == var.kms_key
    error_message = "and the tables"
  }
  assert {
    condition     = alltrue([for k in [google_storage_bucket.input[0].encryption[0].default_kms_key_name, google_storage_bucket.output[0].encryption[0].default_kms_key_name, google_pubsub_topic.uploads.kms_key_name, google_pubsub_topic.dead_letters.kms_key_name, google_cloud_run_v2_service.annotate.template[0].encryption_key, google_cloud_run_v2_job.backfill.template[0].template[0].encryption_key] : k == var.kms_key])
    error_message = "the key encrypts all that holds pictures, names of pictures or the image"
  }
  assert {
    condition     = google_cloud_run_v2_service.annotate.template[0].vpc_access[0].egress == "ALL_TRAFFIC" && google_cloud_run_v2_job.backfill.template[0].template[0].vpc_access[0].network_interfaces[0].subnetwork == "faces"
    error_message = "all connections go through the network"
  }
}

run "refuses_a_key_elsewhere" {
  command = plan
  variables {
    kms_key         = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
    bucket_location = "EU"
  }
  expect_failures = [var.kms_key]
}

run "refuses_a_network_without_a_subnetwork" {
  command = plan
  variables { egress = { network = "faces", subnetwork = "" } }
  expect_failures = [var.egress]
}

run "refuses_a_soft_delete_that_cloud_storage_does_not_know" {
  command = plan
  variables {
    input_soft_delete_days  = 3
    output_soft_delete_days = 100
  }
  expect_failures = [var.input_soft_delete_days, var.output_soft_delete_days]
}

run "refuses_agents_without_their_kind" {
  command = plan
  variables {
    storage_agent = "storage-agent@example.com"
    pubsub_agent  = "pubsub-agent@example.com"
  }
  expect_failures = [var.storage_agent, var.pubsub_agent]
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
