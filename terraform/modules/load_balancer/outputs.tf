output "address" {
  description = "IP address for the domain's DNS record, of type A."
  value       = google_compute_global_address.this.address
}

output "url" {
  description = "Address of the service, once the certificate is issued, which takes up to an hour after the DNS record."
  value       = "https://${var.domain}"
}

output "certificate_command" {
  description = "Command that says whether the certificate is issued."
  value       = "gcloud compute ssl-certificates describe ${google_compute_managed_ssl_certificate.this.name} --global --project=${var.project_id} --format='value(managed.status,managed.domainStatus)'"
}
