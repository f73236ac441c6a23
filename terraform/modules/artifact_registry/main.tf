# Image repository: scanning, clean-up, immutable tags.
resource "google_artifact_registry_repository" "images" {
  project                = var.project_id
  location               = var.region
  repository_id          = var.name
  description            = "Images of the age and gender estimation service"
  format                 = "DOCKER"
  cleanup_policy_dry_run = false
  kms_key_name           = var.kms_key
  labels                 = var.labels

  docker_config {
    immutable_tags = var.immutable_tags
  }

  vulnerability_scanning_config {
    enablement_config = var.vulnerability_scanning ? "INHERITED" : "DISABLED"
  }

  # A KEEP policy wins over a DELETE policy, so the newest images stay however old they get.
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      # What counts are manifests: of a release the index, the image and its attestations. (The build
      # cache has a name of its own and its own count.)
      keep_count = 3 * var.keep_releases
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "${var.delete_after_days * 86400}s"
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "writers" {
  for_each   = toset(var.writers)
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = each.value
}
