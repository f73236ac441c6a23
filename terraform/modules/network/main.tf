# A network for outgoing connections: a second line behind the service's own check of addresses. What
# runs in it under the tag reaches the internet, through one address, and nothing inside.

resource "google_compute_network" "this" {
  project                 = var.project_id
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  #checkov:skip=CKV_GCP_26: flow logs are set by flow_logs
  project                  = var.project_id
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.ip_range
  private_ip_google_access = true # Cloud Storage without the detour through NAT

  dynamic "log_config" {
    for_each = var.flow_logs ? [1] : []
    content {
      aggregation_interval = "INTERVAL_10_MIN"
      metadata             = "INCLUDE_ALL_METADATA"
    }
  }
}

resource "google_compute_router" "this" {
  project = var.project_id
  region  = var.region
  name    = var.name
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  project                            = var.project_id
  region                             = var.region
  name                               = var.name
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# Only for the tag: nodes of a cluster must reach each other.
resource "google_compute_firewall" "nothing_inside" {
  project     = var.project_id
  name        = "${var.name}-nothing-inside"
  description = "No connections to private, shared and link-local addresses"
  network     = google_compute_network.this.id
  direction   = "EGRESS"
  priority    = 1000
  target_tags = [local.tag]
  destination_ranges = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
  ]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

locals {
  tag = "${var.name}-outside-only"
}
