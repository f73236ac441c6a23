# No account is needed: the providers' schemas are enough.
mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
}

run "defaults" {
  command = plan

  assert {
    condition     = output.url == "europe-west1-docker.pkg.dev/example-project/age-gender"
    error_message = "image names begin with the repository's host, project and name"
  }
  assert {
    condition     = google_artifact_registry_repository.images.cleanup_policy_dry_run == false
    error_message = "old images are really deleted"
  }
  assert {
    condition     = length([for p in google_artifact_registry_repository.images.cleanup_policies : p if p.action == "KEEP"]) == 1
    error_message = "what one can roll back to is kept"
  }
  assert {
    condition     = one(flatten([for p in google_artifact_registry_repository.images.cleanup_policies : [for m in p.most_recent_versions : m.keep_count]])) == 30
    error_message = "ten releases are thirty manifests"
  }
  assert {
    condition     = length(google_artifact_registry_repository_iam_member.writers) == 0
    error_message = "nobody may push unless named"
  }
}

run "options" {
  command = plan
  variables {
    name                   = "faces"
    labels                 = { team = "faces" }
    immutable_tags         = true
    vulnerability_scanning = false
    delete_after_days      = 7
    kms_key                = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
    writers                = ["serviceAccount:build@example-project.iam.gserviceaccount.com"]
  }

  assert {
    condition     = google_artifact_registry_repository.images.kms_key_name == var.kms_key
    error_message = "images can be encrypted with one's own key"
  }
  assert {
    condition     = google_artifact_registry_repository.images.docker_config[0].immutable_tags
    error_message = "tags can be made immutable"
  }
  assert {
    condition     = endswith(output.url, "/faces") && google_artifact_registry_repository.images.labels == tomap({ team = "faces" })
    error_message = "the repository has the name and labels given"
  }
  assert {
    condition     = google_artifact_registry_repository.images.vulnerability_scanning_config[0].enablement_config == "DISABLED"
    error_message = "scanning can be switched off"
  }
  assert {
    condition     = contains(flatten([for p in google_artifact_registry_repository.images.cleanup_policies : [for c in p.condition : c.older_than]]), "604800s")
    error_message = "seven days are 604800 seconds"
  }
  assert {
    condition     = one(values(google_artifact_registry_repository_iam_member.writers)).role == "roles/artifactregistry.writer"
    error_message = "writers may push and no more"
  }
}

run "refuses_a_zone" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}

run "refuses_to_keep_nothing" {
  command = plan
  variables { keep_releases = 0 }
  expect_failures = [var.keep_releases]
}

run "refuses_writers_that_are_none" {
  command = plan
  variables { writers = ["build@example-project.iam.gserviceaccount.com"] }
  expect_failures = [var.writers]
}
