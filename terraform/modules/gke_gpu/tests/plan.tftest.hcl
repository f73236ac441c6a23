# No account is needed: the providers' schemas are enough.
mock_provider "google" {}

variables {
  project_id          = "example-project"
  region              = "europe-west1"
  repository_location = "europe-west1"
  password_secret     = "age-gender-predict-basic-auth-password"
  network             = "faces"
  gpu_quota           = 5
  image               = "europe-west1-docker.pkg.dev/example-project/age-gender/service-gpu@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

# Distinct identities; the mock would make all computed values alike.
override_resource {
  target = google_service_account.nodes
  values = { member = "serviceAccount:nodes", email = "nodes@example", name = "accounts/nodes" }
}
override_resource {
  target = google_service_account.pods
  values = { member = "serviceAccount:pods", email = "pods@example", name = "accounts/pods" }
}

run "autopilot" {
  assert {
    condition     = google_container_cluster.this.enable_autopilot && length(google_container_node_pool.gpu) == 0
    error_message = "Autopilot brings the machines itself"
  }
  assert {
    condition     = google_container_cluster.this.deletion_protection
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
  assert {
    condition     = google_container_cluster.this.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled == false && strcontains(output.apply_command, "--dns-endpoint")
    error_message = "the control plane is reached by IAM alone, and the commands say how"
  }
  assert {
    condition     = google_service_account_iam_member.pods.service_account_id == "accounts/pods"
    error_message = "it is the pods' identity that they stand for"
  }
  assert {
    condition     = google_project_iam_member.nodes.member == "serviceAccount:nodes" && google_artifact_registry_repository_iam_member.nodes.member == "serviceAccount:nodes" && google_artifact_registry_repository_iam_member.nodes.role == "roles/artifactregistry.reader"
    error_message = "nodes may live, and pull the image"
  }
  assert {
    condition     = google_container_cluster.this.cluster_autoscaling[0].auto_provisioning_defaults[0].service_account == "nodes@example"
    error_message = "Autopilot's nodes have the identity that may pull"
  }
  assert {
    condition     = yamldecode(local.manifests[6]).spec.podSelector.matchLabels == yamldecode(local.manifests[2]).spec.template.metadata.labels
    error_message = "the network policy is for these pods"
  }
  assert {
    condition     = contains(yamldecode(local.manifests[6]).spec.policyTypes, "Egress") && contains(yamldecode(local.manifests[6]).spec.egress[0].to[0].ipBlock.except, "10.0.0.0/8")
    error_message = "pods reach the internet and nothing inside"
  }
  assert {
    condition     = strcontains(output.delete_command, "kubectl delete namespace age-gender") && strcontains(output.quota_command, "regions describe europe-west1")
    error_message = "commands list the quotas, and delete what would keep the network"
  }
}

run "standard" {
  # A cluster of its own: what later changes of the first pool are ignored.
  state_key = "standard"
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
    condition     = google_container_cluster.this.workload_identity_config[0].workload_pool == "example-project.svc.id.goog"
    error_message = "Workload Identity is on"
  }
  assert {
    condition     = google_container_cluster.this.node_config[0].service_account == "nodes@example"
    error_message = "the first pool, which is removed, does not need Google's default identity either"
  }
  assert {
    condition     = google_container_node_pool.gpu[0].node_config[0].service_account == "nodes@example"
    error_message = "nodes have an identity of their own"
  }
}

run "options" {
  variables {
    name                = "faces-gpu"
    namespace           = "faces"
    repository          = "faces"
    mode                = "standard"
    gpu_type            = "nvidia-tesla-t4"
    machine_type        = "n1-standard-8"
    cpu                 = 6
    memory              = "20Gi"
    concurrency         = 32
    network             = "projects/example-project/global/networks/faces"
    subnetwork          = "faces"
    username            = "somebody"
    deletion_protection = false
    labels              = { team = "faces" }
  }
  assert {
    condition     = google_container_cluster.this.resource_labels == tomap({ team = "faces" }) && !google_container_cluster.this.deletion_protection && google_container_cluster.this.subnetwork == "faces" && endswith(google_container_cluster.this.network, "/faces")
    error_message = "the cluster is in the network given, has the labels and may be deleted"
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.nodes.repository == "faces"
    error_message = "nodes may read the repository given"
  }
  assert {
    condition     = google_container_node_pool.gpu[0].node_config[0].guest_accelerator[0].type == "nvidia-tesla-t4" && yamldecode(local.manifests[2]).spec.template.spec.nodeSelector["cloud.google.com/gke-accelerator"] == "nvidia-tesla-t4"
    error_message = "machines have the GPU that pods ask for"
  }
  assert {
    condition     = alltrue([for m in local.manifests : try(yamldecode(m).metadata.namespace, yamldecode(m).metadata.name) == "faces"])
    error_message = "all is in the namespace given"
  }
  assert {
    condition     = yamldecode(local.manifests[2]).spec.template.spec.containers[0].resources.limits == { cpu = "6", memory = "20Gi", "nvidia.com/gpu" = "1" }
    error_message = "pods have the CPUs and the memory given"
  }
  assert {
    condition     = length(setintersection([for e in yamldecode(local.manifests[2]).spec.template.spec.containers[0].env : "${e.name}=${try(e.value, "")}"], ["THREADS=40", "MAX_QUEUE=32", "BASIC_AUTH_USERNAME=somebody", "REQUIRE_STRONG_AUTH=true"])) == 4
    error_message = "threads and queue follow the concurrency, and the published password is refused"
  }
}

run "keys_instead_of_a_password" {
  variables {
    auth             = "keys"
    auth_keys_secret = "callers"
  }
  assert {
    condition     = one([for e in yamldecode(local.manifests[2]).spec.template.spec.containers[0].env : e.valueFrom.secretKeyRef if e.name == "AUTH_KEYS"]) == { name = "auth-keys", key = "keys" }
    error_message = "pods read the keys from a secret"
  }
  assert {
    condition     = !contains([for e in yamldecode(local.manifests[2]).spec.template.spec.containers[0].env : e.name], "BASIC_AUTH_PASSWORD")
    error_message = "and no password"
  }
  assert {
    condition     = strcontains(output.apply_command, "generic auth-keys ") && strcontains(output.apply_command, "--from-literal=keys=\"$(gcloud secrets versions access latest --secret=callers ")
    error_message = "which the commands make"
  }
}

run "own_key" {
  state_key = "own_key"
  variables {
    kms_key = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
  }
  assert {
    condition     = google_container_cluster.this.database_encryption[0].key_name == var.kms_key && google_container_cluster.this.cluster_autoscaling[0].auto_provisioning_defaults[0].boot_disk_kms_key == var.kms_key
    error_message = "secrets and disks are encrypted with it"
  }
}

run "own_key_of_own_machines" {
  state_key = "own_key_of_own_machines"
  variables {
    mode    = "standard"
    kms_key = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
  }
  assert {
    condition     = alltrue([for pool in [google_container_node_pool.gpu[0], google_container_node_pool.system[0]] : pool.node_config[0].boot_disk_kms_key == var.kms_key])
    error_message = "so are the disks of all machines"
  }
}

run "refuses_a_key_elsewhere" {
  command = plan
  variables { kms_key = "projects/example-project/locations/us-central1/keyRings/faces/cryptoKeys/faces" }
  expect_failures = [var.kms_key]
}

run "refuses_that_nobody_checks" {
  command = plan
  variables { auth = "iam" }
  expect_failures = [var.auth]
}

run "refuses_keys_without_their_secret" {
  command = plan
  variables { auth = "keys" }
  expect_failures = [var.auth_keys_secret]
}

run "refuses_to_go_on_without_its_gpu" {
  command = plan
  variables { settings = { GPU_REQUIRED = "False" } }
  expect_failures = [var.settings]
}

run "without_load_balancer" {
  variables {
    load_balancer   = "none"
    settings        = { LOG = "debug" }
    picture_buckets = ["some-pictures"]
  }
  assert {
    condition     = yamldecode(local.manifests[3]).spec.type == "ClusterIP"
    error_message = "only the cluster reaches it"
  }
  assert {
    condition     = length(setintersection([for e in yamldecode(local.manifests[2]).spec.template.spec.containers[0].env : "${e.name}=${try(e.value, "")}"], ["LOG=debug", "GCS_BUCKETS=some-pictures"])) == 2
    error_message = "settings reach the pods, and so do the buckets that requests may name"
  }
  assert {
    condition     = google_storage_bucket_iam_member.pictures["some-pictures"].role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.pictures["some-pictures"].member == "serviceAccount:pods"
    error_message = "pods may read the bucket"
  }
}

run "refuses_an_unknown_region_format" {
  command = plan
  variables { region = "europe" }
  expect_failures = [var.region]
}

run "refuses_settings_of_its_own" {
  command = plan
  variables { settings = { REQUIRE_STRONG_AUTH = "false" } }
  expect_failures = [var.settings]
}

run "refuses_more_pods_than_gpus" {
  command = plan
  variables { gpu_quota = 0 }
  expect_failures = [var.gpu_quota]
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
