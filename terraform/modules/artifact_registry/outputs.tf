output "url" {
  description = "Prefix of image names."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "name" {
  description = "Name of the repository."
  value       = google_artifact_registry_repository.images.repository_id
}
