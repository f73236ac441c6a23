# POST /predict on Cloud Run: a service with its own identity, and a password or keys in Secret Manager.

locals {
  concurrency = coalesce(var.concurrency, 8 * var.cpu)
  # Enough threads for all that Cloud Run sends, plus some for probes.
  threads = local.concurrency + 8
  # The queue admits all that Cloud Run sends, so that it starts another instance before we would
  # return 429.
  max_queue = local.concurrency

  # The password stays whatever auth is: traffic stays with the old revision until a release, and its
  # instances read what they were created with.
  own_secret  = var.password_secret == null
  secret_id   = local.own_secret ? google_secret_manager_secret.password[0].secret_id : var.password_secret
  secret_name = local.own_secret ? google_secret_manager_secret.password[0].id : "projects/${var.project_id}/secrets/${var.password_secret}"
  # Keys of one's own are regional, and then so is the secret.
  secret_locations = length(var.secret_locations) > 0 || var.kms_key == null ? var.secret_locations : [var.region]
  # A secret cannot change its locations or key: others make another one, which has to be there before
  # the old one goes.
  secret_suffix = length(local.secret_locations) == 0 ? "" : "-${substr(sha256(jsonencode([local.secret_locations, var.kms_key])), 0, 6)}"
  # A version number where we know it, so that a new password creates a new revision and all
  # instances change together. "latest" is read whenever an instance starts.
  secret_version = local.own_secret ? google_secret_manager_secret_version.password[0].version : var.password_secret_version

  # What the service reads from which secret, in which version; with iam nothing.
  secret_settings = merge(
    var.auth == "basic" ? { BASIC_AUTH_PASSWORD = [local.secret_name, local.secret_version] } : {},
    var.auth == "keys" ? { AUTH_KEYS = [local.keys_name, "latest"] } : {},
  )
  keys_name = "projects/${var.project_id}/secrets/${coalesce(var.auth_keys_secret, "none")}"

  memory_mib = tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1)

  settings = merge(
    {
      FUNCTION_TARGET         = "predict"
      FUNCTION_SIGNATURE_TYPE = "http"
      THREADS                 = tostring(local.threads)
      MAX_QUEUE               = tostring(local.max_queue)
      REQUIRE_STRONG_AUTH     = "true"
      AUTH                    = var.auth
      # With iam, a service that everyone may invoke does not start.
      PUBLIC_ACCESS = tostring(var.public)
    },
    var.auth == "basic" ? { BASIC_AUTH_USERNAME = var.username } : {},
    length(var.cors_origins) > 0 ? { CORS_ORIGINS = join(",", var.cors_origins) } : {},
    # The service's default of 50 megapixels does not fit into less.
    local.memory_mib < 1024 ? { MAX_PIXELS = "12000000" } : {},
    length(var.picture_buckets) > 0 ? { GCS_BUCKETS = join(",", var.picture_buckets) } : {},
    # Without its GPU the service must not start: it would be a slow CPU at the price of a GPU.
    var.gpu ? { ENGINE = "tensorflow", GPU = "True", GPU_REQUIRED = "True", GPU_FRACTION = "0.9" } : {},
    var.settings,
  )
}

# The service's identity: it can read its secrets and the listed buckets, nothing else.
resource "google_service_account" "service" {
  project      = var.project_id
  account_id   = "${var.name}-run"
  display_name = "Cloud Run service ${var.name}"
}

# Neither the plan nor the state contains the password, generated or given: Terraform sends it to
# Secret Manager and forgets it.
ephemeral "random_password" "basic_auth" {
  length = 32
  # No special characters, so that no client or shell needs to quote it.
  special = false
}

resource "google_secret_manager_secret" "password" {
  count     = local.own_secret ? 1 : 0
  project   = var.project_id
  secret_id = "${var.name}-basic-auth-password${local.secret_suffix}"
  labels    = var.labels

  replication {
    dynamic "auto" {
      for_each = length(local.secret_locations) == 0 ? [1] : []
      content {}
    }

    dynamic "user_managed" {
      for_each = length(local.secret_locations) == 0 ? [] : [1]
      content {
        dynamic "replicas" {
          for_each = local.secret_locations
          content {
            location = replicas.value
            dynamic "customer_managed_encryption" {
              for_each = var.kms_key == null ? [] : [var.kms_key]
              content {
                kms_key_name = customer_managed_encryption.value
              }
            }
          }
        }
      }
    }
  }
}

resource "google_secret_manager_secret_version" "password" {
  count                  = local.own_secret ? 1 : 0
  secret                 = google_secret_manager_secret.password[0].id
  secret_data_wo         = coalesce(var.password, ephemeral.random_password.basic_auth.result)
  secret_data_wo_version = var.password_version

  # Older revisions still need the password they were created with.
  deletion_policy = "ABANDON"

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret_iam_member" "service" {
  project   = var.project_id
  secret_id = local.secret_name
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}

resource "google_secret_manager_secret_iam_member" "keys" {
  count     = var.auth_keys_secret == null ? 0 : 1
  project   = var.project_id
  secret_id = local.keys_name
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}

resource "google_storage_bucket_iam_member" "pictures" {
  for_each = toset(var.picture_buckets)
  bucket   = each.value
  role     = "roles/storage.objectViewer"
  member   = google_service_account.service.member
}

resource "google_cloud_run_v2_service" "predict" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  description         = "Detects faces and estimates ages and genders: POST /predict"
  ingress             = var.ingress
  deletion_protection = var.deletion_protection
  labels              = var.labels

  # Public: Google lets everyone through to our own check. A role for allUsers would do the same,
  # but organisations refuse it that share only within their own domain.
  invoker_iam_disabled = var.public

  # Of the service and not of its revisions: one that is only kept under a tag has no instances then.
  scaling {
    min_instance_count = var.min_instances
  }

  template {
    service_account                  = google_service_account.service.email
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = local.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    # Zonal redundancy doubles the price of a GPU; do without.
    gpu_zonal_redundancy_disabled = var.gpu ? true : null

    encryption_key = var.kms_key

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

    dynamic "node_selector" {
      for_each = var.gpu ? ["nvidia-l4"] : []
      content {
        accelerator = node_selector.value
      }
    }

    containers {
      name  = "predict"
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits = merge(
          { cpu = tostring(var.cpu), memory = var.memory },
          var.gpu ? { "nvidia.com/gpu" = "1" } : {},
        )
        # CPU is billed per request; with a GPU the whole instance is billed.
        cpu_idle          = !var.gpu
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.settings
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secret_settings
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value[0]
              version = env.value[1]
            }
          }
        }
      }

      # /health needs no model: it shows that the process listens. (Not /healthz, which Google's
      # front end intercepts.)
      startup_probe {
        initial_delay_seconds = 0
        period_seconds        = var.gpu ? 5 : 1
        timeout_seconds       = 1
        failure_threshold     = var.gpu ? 48 : 60
        http_get {
          path = "/health"
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health"
          port = 8080
        }
      }
    }
  }

  lifecycle {
    # cloudbuild.yaml deploys images by digest and moves traffic after a smoke test. Terraform
    # owns the configuration and must not undo that.
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
    precondition {
      condition     = !var.gpu || (var.cpu >= 4 && local.memory_mib >= 16384)
      error_message = "An L4 GPU on Cloud Run needs at least 4 CPUs and 16Gi of memory."
    }
    precondition {
      condition     = var.max_instances * var.cpu <= var.cpu_quota && var.max_instances * local.memory_mib <= var.memory_quota_gib * 1024
      error_message = "max_instances of this size need ${var.max_instances * var.cpu} vCPU and ${var.max_instances * local.memory_mib / 1024} GiB, and Google refuses more than the region's quota (${var.cpu_quota} vCPU, ${var.memory_quota_gib} GiB): lower max_instances, or have the quota raised and set cpu_quota and memory_quota_gib."
    }
    precondition {
      condition     = var.min_instances <= var.max_instances
      error_message = "min_instances must be at most max_instances."
    }
  }

  # A revision only starts if its identity can read its secret.
  depends_on = [
    google_secret_manager_secret_iam_member.keys,
    google_secret_manager_secret_iam_member.service,
  ]
}

# Callers of a private service need an identity among these and, unless auth is iam, password or key.
resource "google_cloud_run_v2_service_iam_member" "invokers" {
  for_each = var.public ? {} : merge({ for member in var.invokers : member => member }, var.invoker_agents)
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.predict.name
  role     = "roles/run.invoker"
  member   = each.value
}
