# POST /predict with a GPU on Kubernetes: a cluster whose GPU machines scale with the pods,
# keyless identities, and the rendered manifests. kubectl applies them, because a Kubernetes provider
# configured from a cluster of the same apply breaks when that cluster is replaced.

locals {
  autopilot = var.mode == "autopilot"

  # What pods check callers by: a secret of Secret Manager, copied into one of Kubernetes. One for each
  # kind, since pods with the one serve until those with the other have started.
  access = {
    basic = { copy = "basic-auth", key = "password", secret = var.password_secret }
    keys  = { copy = "auth-keys", key = "keys", secret = var.auth_keys_secret }
  }[var.auth]

  manifests = [
    for file in ["namespace", "service-account", "deployment", "service", "autoscaler", "disruption-budget", "network-policy"] :
    templatefile("${path.module}/manifests/${file}.yaml.tftpl", {
      name         = var.name
      namespace    = var.namespace
      image        = var.image
      gpu_type     = var.gpu_type
      cpu          = var.cpu
      memory       = var.memory
      username     = var.username
      auth         = var.auth
      min_replicas = var.min_replicas
      max_replicas = var.max_replicas
      internal_lb  = var.load_balancer == "internal"
      settings = merge(
        length(var.picture_buckets) > 0 ? { GCS_BUCKETS = join(",", var.picture_buckets) } : {},
        var.settings,
      )
      threads         = var.concurrency + 8
      max_queue       = var.concurrency
      service_account = google_service_account.pods.email
    })
  ]
}

resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_12: Dataplane V2 enforces network policies by itself
  #checkov:skip=CKV_GCP_21: labels are merged by the caller, which checkov does not follow
  #checkov:skip=CKV_GCP_20: the control plane has no IP address to allow
  #checkov:skip=CKV_GCP_61: always on with Autopilot, set in standard mode
  #checkov:skip=CKV_GCP_65: IAM manages permissions, not Google Groups
  #checkov:skip=CKV_GCP_69: always on with Autopilot, set on the node pools in standard mode
  project             = var.project_id
  location            = var.region
  name                = var.name
  deletion_protection = var.deletion_protection
  network             = var.network
  subnetwork          = var.subnetwork
  resource_labels     = var.labels

  # Autopilot sets all of these itself and does not let us.
  enable_autopilot            = local.autopilot ? true : null
  remove_default_node_pool    = local.autopilot ? null : true
  initial_node_count          = local.autopilot ? null : 1
  datapath_provider           = local.autopilot ? null : "ADVANCED_DATAPATH"
  enable_intranode_visibility = local.autopilot ? null : true

  dynamic "workload_identity_config" {
    for_each = local.autopilot ? [] : ["${var.project_id}.svc.id.goog"]
    content {
      workload_pool = workload_identity_config.value
    }
  }

  # Google creates a first pool of nodes before we can remove it, by default as an identity that many
  # projects do not have any more.
  dynamic "node_config" {
    for_each = local.autopilot ? [] : [google_service_account.nodes.email]
    content {
      service_account   = node_config.value
      oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
      boot_disk_kms_key = var.kms_key
      shielded_instance_config {
        enable_secure_boot          = true
        enable_integrity_monitoring = true
      }
      workload_metadata_config {
        mode = "GKE_METADATA"
      }
    }
  }

  # Its nodes share the identity of our own pools.
  dynamic "cluster_autoscaling" {
    for_each = local.autopilot ? [google_service_account.nodes.email] : []
    content {
      auto_provisioning_defaults {
        service_account   = cluster_autoscaling.value
        oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
        boot_disk_kms_key = var.kms_key
      }
    }
  }

  # Kubernetes' secrets, among them the copy of the password.
  dynamic "database_encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      state    = "ENCRYPTED"
      key_name = database_encryption.value
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  # kubectl connects through Google's front end with IAM. The control plane has no IP address.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }
    ip_endpoints_config {
      enabled = false
    }
  }

  # The project's policy decides which images may run; without one, all may.
  binary_authorization {
    evaluation_mode = "PROJECT_SINGLETON_POLICY_ENFORCE"
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  ip_allocation_policy {}

  lifecycle {
    # Of the pool that is removed.
    ignore_changes = [node_config]
  }

  # Nodes register and pull images as this identity.
  depends_on = [
    google_artifact_registry_repository_iam_member.nodes,
    google_project_iam_member.nodes,
  ]
}

# For system pods, which would otherwise keep a GPU machine alive.
resource "google_container_node_pool" "system" {
  count          = local.autopilot ? 0 : 1
  project        = var.project_id
  location       = var.region
  node_locations = var.zones
  cluster        = google_container_cluster.this.name
  name           = "system"

  autoscaling {
    total_min_node_count = 1
    total_max_node_count = 3
  }

  node_config {
    machine_type      = "e2-standard-2"
    service_account   = google_service_account.nodes.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    boot_disk_kms_key = var.kms_key
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }
}

resource "google_container_node_pool" "gpu" {
  count          = local.autopilot ? 0 : 1
  project        = var.project_id
  location       = var.region
  node_locations = var.zones
  cluster        = google_container_cluster.this.name
  name           = "gpu"

  # Scale to zero with the pods.
  autoscaling {
    total_min_node_count = 0
    total_max_node_count = var.max_replicas
    location_policy      = "ANY"
  }

  node_config {
    machine_type      = var.machine_type
    spot              = var.spot
    disk_size_gb      = 100
    service_account   = google_service_account.nodes.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    boot_disk_kms_key = var.kms_key

    guest_accelerator {
      type  = var.gpu_type
      count = 1
      gpu_driver_installation_config {
        gpu_driver_version = "LATEST"
      }
    }

    taint {
      key    = "nvidia.com/gpu"
      value  = "present"
      effect = "NO_SCHEDULE"
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  lifecycle {
    precondition {
      condition     = var.gpu_type != "nvidia-l4" || startswith(var.machine_type, "g2-")
      error_message = "An L4 needs a machine_type g2-…; others (nvidia-tesla-t4) need n1-…."
    }
  }
}

# Identity of the nodes: run, and pull our image.
resource "google_service_account" "nodes" {
  project      = var.project_id
  account_id   = "${var.name}-node"
  display_name = "Nodes of ${var.name}"
}

resource "google_project_iam_member" "nodes" {
  project = var.project_id
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}

resource "google_artifact_registry_repository_iam_member" "nodes" {
  project    = var.project_id
  location   = var.repository_location
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.nodes.member
}

# Identity of the pods, through Workload Identity.
resource "google_service_account" "pods" {
  project      = var.project_id
  account_id   = "${var.name}-pod"
  display_name = "Pods of ${var.name}"
}

resource "google_service_account_iam_member" "pods" {
  service_account_id = google_service_account.pods.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.namespace}/${var.name}]"

  # The workload pool exists once the project has a cluster.
  depends_on = [google_container_cluster.this]
}

resource "google_storage_bucket_iam_member" "pictures" {
  for_each = toset(var.picture_buckets)
  bucket   = each.value
  role     = "roles/storage.objectViewer"
  member   = google_service_account.pods.member
}
