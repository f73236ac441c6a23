# Annotates the uploads of one bucket into another: the bucket notifies a topic, its subscription
# delivers each upload to a private service, repeated failures go to a dead-letter topic, and a job
# processes existing pictures.

locals {
  input_bucket  = var.create_input_bucket ? google_storage_bucket.input[0].name : var.input_bucket
  output_bucket = var.create_output_bucket ? google_storage_bucket.output[0].name : var.output_bucket
  location      = coalesce(var.bucket_location, var.region)

  concurrency = coalesce(var.concurrency, 4 * var.cpu)

  memory_mib = tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1)

  settings = merge(
    {
      INPUT_BUCKET   = local.input_bucket
      INPUT_PREFIX   = var.input_prefix
      OUTPUT_BUCKET  = local.output_bucket
      OUTPUT_PREFIX  = var.output_prefix
      ANNOTATE_IMAGE = var.annotated_image
    },
    # The service's default of 50 megapixels does not fit into less.
    local.memory_mib < 1024 ? { MAX_PIXELS = "12000000" } : {},
    var.settings,
  )
  # For the service only; the job runs another program.
  service_settings = merge(local.settings, {
    FUNCTION_TARGET         = "annotate"
    FUNCTION_SIGNATURE_TYPE = "cloudevent"
    THREADS                 = tostring(local.concurrency + 4)
    ANNOTATE_IN_FLIGHT      = tostring(local.concurrency)
    MAX_QUEUE               = tostring(local.concurrency)
    # Both together less than Pub/Sub waits; after that it redelivers.
    QUEUE_TIMEOUT          = tostring(floor(var.timeout_seconds / 2))
    ANNOTATE_RETRY_SECONDS = tostring(coalesce(var.retry_seconds, floor(var.timeout_seconds / 4)))
  })
}


# --- Buckets

resource "google_storage_bucket" "input" {
  #checkov:skip=CKV_GCP_78: set by input_versioning
  count                       = var.create_input_bucket ? 1 : 0
  project                     = var.project_id
  name                        = var.input_bucket
  location                    = local.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = var.labels

  # For so long, deleted objects can be restored, and are not erased.
  soft_delete_policy {
    retention_duration_seconds = var.input_soft_delete_days * 86400
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  versioning {
    enabled = var.input_versioning
  }

  dynamic "lifecycle_rule" {
    for_each = var.input_days == null ? [] : [var.input_days]
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.input_versioning ? [30] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
    }
  }
}

resource "google_storage_bucket" "output" {
  #checkov:skip=CKV_GCP_78: set by output_versioning
  count                       = var.create_output_bucket ? 1 : 0
  project                     = var.project_id
  name                        = var.output_bucket
  location                    = local.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = var.labels

  # For so long, deleted objects can be restored, and are not erased.
  soft_delete_policy {
    retention_duration_seconds = var.output_soft_delete_days * 86400
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  versioning {
    enabled = var.output_versioning
  }

  dynamic "lifecycle_rule" {
    for_each = var.output_days == null ? [] : [var.output_days]
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }
}


# --- The service. It reads pictures and adds results, but cannot change or delete anything, so a
# repeated event cannot either.

resource "google_service_account" "annotate" {
  project      = var.project_id
  account_id   = "${var.name}-run"
  display_name = "Cloud Run service ${var.name}"
}

resource "google_storage_bucket_iam_member" "annotate_reads_input" {
  bucket = local.input_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.annotate.member
}

resource "google_storage_bucket_iam_member" "annotate_reads_output" {
  bucket = local.output_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.annotate.member
}

resource "google_storage_bucket_iam_member" "annotate_adds_output" {
  bucket = local.output_bucket
  role   = "roles/storage.objectCreator"
  member = google_service_account.annotate.member
}

resource "google_cloud_run_v2_service" "annotate" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  description         = "Annotates the pictures uploaded to ${var.input_bucket}"
  ingress             = "INGRESS_TRAFFIC_INTERNAL_ONLY" # Pub/Sub counts as internal
  deletion_protection = var.deletion_protection
  labels              = var.labels

  # As Cloud Run itself sets it: left out, each plan would take it away.
  scaling {
    min_instance_count = 0
  }

  template {
    service_account                  = google_service_account.annotate.email
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = local.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = var.kms_key

    scaling {
      max_instance_count = var.max_instances
    }

    dynamic "vpc_access" {
      for_each = var.egress == null ? [] : [var.egress]
      content {
        egress = "ALL_TRAFFIC"
        network_interfaces {
          network    = vpc_access.value.network
          subnetwork = vpc_access.value.subnetwork
          tags       = vpc_access.value.tags
        }
      }
    }

    containers {
      name  = "annotate"
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = tostring(var.cpu), memory = var.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.service_settings
        content {
          name  = env.key
          value = env.value
        }
      }

      # An event service does not answer GET, so probe the port.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60
        tcp_socket {
          port = 8080
        }
      }
    }
  }

  lifecycle {
    # cloudbuild.yaml manages releases; see the module cloud_run.
    ignore_changes = [
      client,
      client_version,
      template[0].annotations,
      template[0].containers[0].image,
      template[0].labels,
      template[0].revision,
      traffic,
    ]
    precondition {
      condition     = var.cpu < 4 || local.memory_mib >= (var.cpu >= 8 ? 4096 : 2048)
      error_message = "Cloud Run requires at least 2Gi of memory with 4 CPUs and 4Gi with 8."
    }
  }

  depends_on = [
    google_storage_bucket_iam_member.annotate_adds_output,
    google_storage_bucket_iam_member.annotate_reads_input,
    google_storage_bucket_iam_member.annotate_reads_output,
  ]
}


# --- The trigger: the bucket notifies a topic, whose subscription calls the service.

# The subscription's identity, which may only call this service.
resource "google_service_account" "trigger" {
  project      = var.project_id
  account_id   = "${var.name}-evt"
  display_name = "Trigger of ${var.name}"
}

resource "google_cloud_run_v2_service_iam_member" "trigger_invokes" {
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.annotate.name
  role     = "roles/run.invoker"
  member   = google_service_account.trigger.member
}

# Pub/Sub signs its calls as that identity, and does nothing else as it.
resource "google_service_account_iam_member" "trigger_signed" {
  service_account_id = google_service_account.trigger.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = var.pubsub_agent
}

resource "google_pubsub_topic" "uploads" {
  project      = var.project_id
  name         = "${var.name}-uploads"
  kms_key_name = var.kms_key
  labels       = var.labels
}

resource "google_pubsub_topic_iam_member" "uploads_published" {
  project = var.project_id
  topic   = google_pubsub_topic.uploads.name
  role    = "roles/pubsub.publisher"
  member  = var.storage_agent
}

resource "google_storage_notification" "uploads" {
  bucket             = local.input_bucket
  topic              = google_pubsub_topic.uploads.id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = var.input_prefix == "" ? null : var.input_prefix

  # Cloud Storage tests whether it may publish.
  depends_on = [google_pubsub_topic_iam_member.uploads_published]
}

resource "google_pubsub_subscription" "uploads" {
  project                    = var.project_id
  name                       = "${var.name}-uploads"
  topic                      = google_pubsub_topic.uploads.id
  ack_deadline_seconds       = var.timeout_seconds
  message_retention_duration = "604800s" # uploads wait for up to a week
  labels                     = var.labels

  push_config {
    push_endpoint = google_cloud_run_v2_service.annotate.uri
    oidc_token {
      service_account_email = google_service_account.trigger.email
      audience              = google_cloud_run_v2_service.annotate.uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.max_delivery_attempts
  }

  expiration_policy {
    ttl = "" # stays, even without uploads for a month
  }

  depends_on = [
    google_cloud_run_v2_service_iam_member.trigger_invokes,
    google_pubsub_topic_iam_member.dead_letters_published,
    google_service_account_iam_member.trigger_signed,
  ]
}


# --- Dead letters: after max_delivery_attempts an event moves to a topic of its own and waits
# for someone to inspect and resend it.

resource "google_pubsub_topic" "dead_letters" {
  project                    = var.project_id
  name                       = "${var.name}-dead-letters"
  message_retention_duration = "2678400s" # 31 days, the most there is
  kms_key_name               = var.kms_key
  labels                     = var.labels
}

resource "google_pubsub_subscription" "dead_letters" {
  project                    = var.project_id
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "2678400s"
  ack_deadline_seconds       = 60
  labels                     = var.labels

  expiration_policy {
    ttl = "" # stays, even when nothing has failed for a month
  }
}

resource "google_pubsub_topic_iam_member" "dead_letters_published" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = var.pubsub_agent
}

# To move a message, Pub/Sub must acknowledge it on the subscription.
resource "google_pubsub_subscription_iam_member" "dead_letters_moved" {
  project      = var.project_id
  subscription = google_pubsub_subscription.uploads.name
  role         = "roles/pubsub.subscriber"
  member       = var.pubsub_agent
}


# --- The back-fill: processes existing pictures, in shards. Each run rewrites its manifest, so its
# identity may also replace objects.

resource "google_service_account" "backfill" {
  project      = var.project_id
  account_id   = "${var.name}-job"
  display_name = "Back-fill of ${var.name}"
}

resource "google_storage_bucket_iam_member" "backfill_reads_input" {
  bucket = local.input_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.backfill.member
}

resource "google_storage_bucket_iam_member" "backfill_writes_output" {
  bucket = local.output_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.backfill.member
}

resource "google_cloud_run_v2_job" "backfill" {
  project             = var.project_id
  location            = var.region
  name                = "${var.name}-backfill"
  deletion_protection = var.deletion_protection
  labels              = var.labels

  template {
    task_count  = var.backfill_shards
    parallelism = var.backfill_shards

    template {
      service_account       = google_service_account.backfill.email
      max_retries           = 3
      timeout               = "86400s"
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      encryption_key        = var.kms_key

      dynamic "vpc_access" {
        for_each = var.egress == null ? [] : [var.egress]
        content {
          egress = "ALL_TRAFFIC"
          network_interfaces {
            network    = vpc_access.value.network
            subnetwork = vpc_access.value.subnetwork
            tags       = vpc_access.value.tags
          }
        }
      }

      containers {
        image   = var.image
        command = ["python", "-m", "age_gender.batch.backfill"]

        resources {
          limits = { cpu = tostring(var.backfill_cpu), memory = var.memory }
        }

        # Cloud Run sets CLOUD_RUN_TASK_INDEX and _COUNT, which divide the work.
        dynamic "env" {
          for_each = local.settings
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [
      client,
      client_version,
      template[0].annotations,
      template[0].labels,
      template[0].template[0].containers[0].image,
    ]
    precondition {
      condition     = var.backfill_cpu < 4 || local.memory_mib >= (var.backfill_cpu >= 8 ? 4096 : 2048)
      error_message = "Cloud Run requires at least 2Gi of memory with 4 CPUs and 4Gi with 8."
    }
  }

  depends_on = [
    google_storage_bucket_iam_member.backfill_reads_input,
    google_storage_bucket_iam_member.backfill_writes_output,
  ]
}


# --- A table over the back-fill's manifests

resource "google_bigquery_dataset" "results" {
  count                      = var.bigquery_dataset == null ? 0 : 1
  project                    = var.project_id
  dataset_id                 = var.bigquery_dataset
  location                   = local.location
  description                = "Results of ${var.name}"
  delete_contents_on_destroy = true # tables over files: the files stay
  labels                     = var.labels

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "pictures" {
  #checkov:skip=CKV_GCP_121: a view of files, which remain
  count               = var.bigquery_dataset == null ? 0 : 1
  project             = var.project_id
  dataset_id          = google_bigquery_dataset.results[0].dataset_id
  table_id            = "pictures"
  description         = "One row per picture of the back-fill"
  deletion_protection = false
  labels              = var.labels

  external_data_configuration {
    # An explicit schema: before the first run there are no files to infer it from.
    autodetect            = false
    source_format         = "NEWLINE_DELIMITED_JSON"
    source_uris           = ["gs://${local.output_bucket}/${var.output_prefix}manifest-*.jsonl"]
    ignore_unknown_values = true
    schema                = file("${path.module}/manifest.schema.json")
  }
}
