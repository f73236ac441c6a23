output "network" {
  description = "ID of the network."
  value       = google_compute_network.this.id
}

output "subnetwork" {
  description = "ID of the subnetwork."
  value       = google_compute_subnetwork.this.id
}

output "egress" {
  description = "What the variable egress of the modules cloud_run and bucket_trigger takes."
  value = {
    network    = google_compute_network.this.id
    subnetwork = google_compute_subnetwork.this.id
    tags       = [local.tag]
  }
  # Without these there would be connections for a while that should not be, or none.
  depends_on = [google_compute_firewall.nothing_inside, google_compute_router_nat.this]
}
