# POST /predict with a GPU on Kubernetes: a cluster whose GPU machines come and go with the pods,
# identities without keys, and the manifests, rendered. kubectl applies those: a Kubernetes provider
# that is configured from a cluster of the same apply breaks as soon as the cluster is replaced.

locals {
  autopilot    = var.mode == "autopilot"
  cluster_name = local.autopilot ? google_container_cluster.autopilot[0].name : google_container_cluster.standard[0].name

  manifests = [
    for file in ["namespace", "service-account", "deployment", "service", "autoscaler", "disruption-budget"] :
    templatefile("${path.module}/manifests/${file}.yaml.tftpl", {
      name            = var.name
      namespace       = var.namespace
      image           = var.image
      gpu_type        = var.gpu_type
      cpu             = var.cpu
      memory          = var.memory
      username        = var.username
      min_replicas    = var.min_replicas
      max_replicas    = var.max_replicas
      internal_lb     = var.load_balancer == "internal"
      settings        = var.settings
      threads         = var.concurrency + 8
      max_queue       = var.concurrency
      service_account = google_service_account.pods.email
    })
  ]
}

resource "google_container_cluster" "autopilot" {
  count               = local.autopilot ? 1 : 0
  project             = var.project_id
  location            = var.region
  name                = var.name
  enable_autopilot    = true
  deletion_protection = var.deletion_protection
  network             = var.network
  subnetwork          = var.subnetwork
  resource_labels     = var.labels

  release_channel {
    channel = "REGULAR"
  }

  # Autopilot's nodes run under this identity, as those of our own pool do.
  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = google_service_account.nodes.email
      oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    }
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  ip_allocation_policy {}
}

resource "google_container_cluster" "standard" {
  count                    = local.autopilot ? 0 : 1
  project                  = var.project_id
  location                 = var.region
  name                     = var.name
  deletion_protection      = var.deletion_protection
  network                  = var.network
  subnetwork               = var.subnetwork
  resource_labels          = var.labels
  remove_default_node_pool = true
  initial_node_count       = 1
  datapath_provider        = "ADVANCED_DATAPATH"

  release_channel {
    channel = "REGULAR"
  }

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  ip_allocation_policy {}
}

# Kubernetes' own pods; they would keep a GPU machine from going away.
resource "google_container_node_pool" "system" {
  count          = local.autopilot ? 0 : 1
  project        = var.project_id
  location       = var.region
  node_locations = var.zones
  cluster        = google_container_cluster.standard[0].name
  name           = "system"

  autoscaling {
    total_min_node_count = 1
    total_max_node_count = 3
  }

  node_config {
    machine_type    = "e2-standard-2"
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
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
  cluster        = google_container_cluster.standard[0].name
  name           = "gpu"

  # No pod, no machine, no cost.
  autoscaling {
    total_min_node_count = 0
    total_max_node_count = var.max_replicas
    location_policy      = "ANY"
  }

  node_config {
    machine_type    = var.machine_type
    spot            = var.spot
    disk_size_gb    = 100
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

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
      error_message = "An L4 goes with a machine_type g2-…; others (nvidia-tesla-t4) with n1-…."
    }
  }
}

# Of the machines: what a node needs to live, and pulling our image.
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

# Of the pods: Kubernetes' service account stands for it, without keys (Workload Identity).
resource "google_service_account" "pods" {
  project      = var.project_id
  account_id   = "${var.name}-pod"
  display_name = "Pods of ${var.name}"
}

resource "google_service_account_iam_member" "pods" {
  service_account_id = google_service_account.pods.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.namespace}/${var.name}]"

  # The workload pool is there once the project has a cluster.
  depends_on = [google_container_cluster.autopilot, google_container_cluster.standard]
}

resource "google_storage_bucket_iam_member" "pictures" {
  for_each = toset(var.picture_buckets)
  bucket   = each.value
  role     = "roles/storage.objectViewer"
  member   = google_service_account.pods.member
}
