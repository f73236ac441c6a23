variables {
  project_id          = "example-project"
  region              = "europe-west1"
  repository_location = "europe-west1"
  password_secret     = "age-gender-predict-basic-auth-password"
  image               = "europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "autopilot" {
  assert {
    condition     = google_container_cluster.autopilot[0].enable_autopilot && length(google_container_cluster.standard) == 0 && length(google_container_node_pool.gpu) == 0
    error_message = "Autopilot brings the machines itself"
  }
  assert {
    condition     = google_container_cluster.autopilot[0].deletion_protection
    error_message = "a cluster is not deleted by accident"
  }
  assert {
    condition     = google_service_account_iam_member.pods.member == "serviceAccount:example-project.svc.id.goog[age-gender/age-gender-gpu]"
    error_message = "pods stand for an identity without keys"
  }
  assert {
    condition     = yamldecode(local.manifests[2]).spec.template.spec.serviceAccountName == yamldecode(local.manifests[1]).metadata.name
    error_message = "pods run as the service account that is bound to it"
  }
  assert {
    condition     = alltrue([for p in ["startupProbe", "readinessProbe", "livenessProbe"] : yamldecode(local.manifests[2]).spec.template.spec.containers[0][p].httpGet.path == "/health"])
    error_message = "all probes ask /health"
  }
  assert {
    condition     = yamldecode(local.manifests[2]).spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem && yamldecode(local.manifests[2]).spec.template.spec.securityContext.runAsNonRoot
    error_message = "nothing can be written and nobody is root"
  }
  assert {
    condition     = yamldecode(local.manifests[2]).spec.template.spec.containers[0].resources.limits["nvidia.com/gpu"] == "1"
    error_message = "a GPU for each pod"
  }
  assert {
    condition     = yamldecode(local.manifests[4]).spec.scaleTargetRef.name == yamldecode(local.manifests[2]).metadata.name
    error_message = "the autoscaler scales the deployment"
  }
  assert {
    condition     = yamldecode(local.manifests[3]).metadata.annotations["networking.gke.io/load-balancer-type"] == "Internal"
    error_message = "no plain HTTP to the internet"
  }
}

run "standard" {
  variables {
    mode         = "standard"
    zones        = ["europe-west1-b", "europe-west1-c"]
    spot         = true
    max_replicas = 5
  }
  assert {
    condition     = google_container_node_pool.gpu[0].autoscaling[0].total_min_node_count == 0 && google_container_node_pool.gpu[0].autoscaling[0].total_max_node_count == 5
    error_message = "GPU machines shrink to none and grow with the pods"
  }
  assert {
    condition     = google_container_node_pool.gpu[0].node_config[0].guest_accelerator[0].type == "nvidia-l4"
    error_message = "machines have the GPU that pods ask for"
  }
  assert {
    condition     = google_container_cluster.standard[0].workload_identity_config[0].workload_pool == "example-project.svc.id.goog"
    error_message = "Workload Identity is on"
  }
  assert {
    condition     = google_container_node_pool.gpu[0].node_config[0].service_account == google_service_account.nodes.email
    error_message = "nodes have an identity of their own"
  }
}

run "without_load_balancer" {
  variables {
    load_balancer   = "none"
    settings        = { LOG = "debug", GCS_BUCKETS = "some-pictures" }
    picture_buckets = ["some-pictures"]
  }
  assert {
    condition     = yamldecode(local.manifests[3]).spec.type == "ClusterIP"
    error_message = "only the cluster reaches it"
  }
  assert {
    condition     = contains([for e in yamldecode(local.manifests[2]).spec.template.spec.containers[0].env : "${e.name}=${try(e.value, "")}"], "LOG=debug")
    error_message = "settings reach the pods"
  }
  assert {
    condition     = google_storage_bucket_iam_member.pictures["some-pictures"].role == "roles/storage.objectViewer"
    error_message = "pods may read the bucket"
  }
}

run "refuses_an_unknown_region_format" {
  command = plan
  variables { region = "europe" }
  expect_failures = [var.region]
}

run "refuses_an_unknown_mode" {
  command = plan
  variables { mode = "serverless" }
  expect_failures = [var.mode]
}

run "refuses_a_machine_that_does_not_go_with_the_gpu" {
  command = plan
  variables {
    mode         = "standard"
    machine_type = "n1-standard-8"
  }
  expect_failures = [google_container_node_pool.gpu]
}

run "refuses_to_grow_below_the_least" {
  command = plan
  variables {
    min_replicas = 4
    max_replicas = 3
  }
  expect_failures = [var.max_replicas]
}

run "refuses_a_public_load_balancer" {
  command = plan
  variables { load_balancer = "external" }
  expect_failures = [var.load_balancer]
}
