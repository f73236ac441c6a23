variables {
  project_id = "example-project"
}

run "all_in_one_apply" {
  command = plan

  assert {
    condition     = keys(terraform_data.image) == ["cpu"]
    error_message = "the image is built from this checkout"
  }
  assert {
    condition     = output.buckets.input == "example-project-pictures" && output.buckets.output == "example-project-results"
    error_message = "buckets are named after the project"
  }
  assert {
    condition     = output.gpu_manifests == null && !contains(keys(google_project_service.apis), "container.googleapis.com")
    error_message = "no cluster unless asked for"
  }
  assert {
    condition     = contains(keys(google_project_service.apis), "eventarc.googleapis.com")
    error_message = "the APIs that are needed are enabled"
  }
  assert {
    condition     = google_service_account_iam_member.build_deploys["predict"].role == "roles/iam.serviceAccountUser"
    error_message = "releases may run as the service's identity"
  }
}

run "with_a_gpu" {
  variables {
    gke_gpu   = true
    image     = "europe-west1-docker.pkg.dev/example-project/age-gender/service:1"
    gpu_image = "europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu:1"
    # No gcloud in a test.
    bucket_trigger = false
  }
  assert {
    condition     = strcontains(output.gpu_manifests, "image: europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu:1")
    error_message = "pods run the image with CUDA"
  }
  assert {
    condition     = strcontains(output.gpu_apply, "--secret=age-gender-predict-basic-auth-password")
    error_message = "the cluster has the same password"
  }
  assert {
    condition     = output.buckets == null
    error_message = "the trigger can be left out"
  }
  assert {
    condition     = length(terraform_data.image) == 0
    error_message = "images that are given are not built"
  }
}

run "builds_both_images" {
  command = plan
  variables { gke_gpu = true }
  assert {
    condition     = keys(terraform_data.image) == ["cpu", "gpu"]
    error_message = "the GPU's image is built, too"
  }
}

run "refuses_an_unknown_region_format" {
  command = plan
  variables { region = "Belgium" }
  expect_failures = [var.region]
}
