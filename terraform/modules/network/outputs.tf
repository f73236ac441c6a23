output "network" {
  description = "Name of the network."
  value       = google_compute_network.this.name
}

output "subnetwork" {
  description = "Name of the subnetwork."
  value       = google_compute_subnetwork.this.name
}

output "egress" {
  description = "What the variable egress of the modules cloud_run and bucket_trigger takes."
  value = {
    network    = google_compute_network.this.name
    subnetwork = google_compute_subnetwork.this.name
    tags       = [local.tag]
  }
  # Without these there would be connections for a while that should not be, or none.
  depends_on = [google_compute_firewall.nothing_inside, google_compute_router_nat.this]
}
