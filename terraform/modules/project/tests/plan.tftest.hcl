# No account is needed: the providers' schemas are enough.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "example-project"
  services = [
    "cloudresourcemanager.googleapis.com",
    "pubsub.googleapis.com",
    "storage.googleapis.com",
  ]
}

override_data {
  target = data.google_storage_project_service_account.agent
  values = { email_address = "storage-agent" }
}
override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}
override_data {
  target = data.google_bigquery_default_service_account.agent
  values = { email = "bigquery-agent" }
}
override_resource {
  target = google_project_service_identity.agents
  values = { email = "agent" }
}

run "apis_and_agents" {
  variables { agents = ["pubsub.googleapis.com"] }

  assert {
    condition     = length(output.services) == 3 && alltrue([for s in google_project_service.apis : !s.disable_on_destroy])
    error_message = "the APIs are enabled, and stay so: others may use them"
  }
  assert {
    condition     = output.agents.storage == "serviceAccount:storage-agent" && output.agents.pubsub == "serviceAccount:agent"
    error_message = "agents are given by service"
  }
  assert {
    condition     = output.agents.run == "serviceAccount:service-123456789012@serverless-robot-prod.iam.gserviceaccount.com"
    error_message = "the agent of Cloud Run is named after the project's number"
  }
}

run "own_key" {
  variables {
    agents  = ["pubsub.googleapis.com"]
    kms_key = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
  }
  assert {
    condition     = { for a, m in google_kms_crypto_key_iam_member.agents : a => m.member } == { pubsub = "serviceAccount:agent", run = "serviceAccount:service-123456789012@serverless-robot-prod.iam.gserviceaccount.com", storage = "serviceAccount:storage-agent" }
    error_message = "each agent may use the key"
  }
}

run "own_key_for_tables_and_a_cluster" {
  state_key = "tables_and_a_cluster"
  variables {
    services = [
      "bigquery.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "compute.googleapis.com",
      "container.googleapis.com",
      "storage.googleapis.com",
    ]
    agents  = ["bigquery.googleapis.com", "compute.googleapis.com", "container.googleapis.com"]
    kms_key = "projects/example-project/locations/europe-west1/keyRings/faces/cryptoKeys/faces"
  }
  assert {
    condition = { for a, m in google_kms_crypto_key_iam_member.agents : a => m.member if !contains(["run", "storage"], a) } == {
      bigquery  = "serviceAccount:bigquery-agent"
      compute   = "serviceAccount:service-123456789012@compute-system.iam.gserviceaccount.com"
      container = "serviceAccount:service-123456789012@container-engine-robot.iam.gserviceaccount.com"
    }
    error_message = "their agents may use the key"
  }
  assert {
    condition     = length(google_project_service_identity.agents) == 0
    error_message = "these agents need no creating"
  }
}

run "no_agents_unless_asked_for" {
  command = plan
  assert {
    condition     = length(google_project_service_identity.agents) == 0
    error_message = "no agent is created that is not needed"
  }
}

run "refuses_to_go_without_its_own_apis" {
  command = plan
  variables { services = ["run.googleapis.com"] }
  expect_failures = [var.services]
}

run "refuses_an_agent_without_its_api" {
  command = plan
  variables { agents = ["eventarc.googleapis.com"] }
  expect_failures = [var.agents]
}

run "refuses_a_project_number" {
  command = plan
  variables { project_id = "123456789012" }
  expect_failures = [var.project_id]
}

run "refuses_a_key_ring" {
  command = plan
  variables { kms_key = "projects/example-project/locations/europe-west1/keyRings/faces" }
  expect_failures = [var.kms_key]
}
