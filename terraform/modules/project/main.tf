# Enables a project's APIs and creates Google's service agents. Its outputs wait for both, so whatever
# takes the project's ID from here comes after them. Do not order with a module's depends_on instead:
# that postpones reading data in the module whenever the list of APIs changes, and roles whose member
# is not known yet are deleted and granted again.

resource "google_project_service" "apis" {
  for_each           = toset(var.services)
  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

locals {
  # These have other ways: an API of their own that tells, or they are there once the API is enabled.
  known_agents = {
    bigquery  = one(data.google_bigquery_default_service_account.agent[*].email)
    compute   = "service-${data.google_project.this.number}@compute-system.iam.gserviceaccount.com"
    container = "service-${data.google_project.this.number}@container-engine-robot.iam.gserviceaccount.com"
  }
}

# Google creates its agents at a project's first use of a service, but roles need an existing
# identity. Existing agents are left alone.
resource "google_project_service_identity" "agents" {
  for_each   = setsubtract(var.agents, [for agent in keys(local.known_agents) : "${agent}.googleapis.com"])
  provider   = google-beta
  project    = var.project_id
  service    = each.value
  depends_on = [google_project_service.apis]
}

locals {
  # An ID is known only when the API has been enabled. So the first plan leaves the reading below to
  # the apply, and no later plan does.
  with_storage  = split("/", google_project_service.apis["storage.googleapis.com"].id)[0]
  with_projects = split("/", google_project_service.apis["cloudresourcemanager.googleapis.com"].id)[0]
}

# Reading the agent of Cloud Storage creates it.
data "google_storage_project_service_account" "agent" {
  project = local.with_storage
}

# And that of BigQuery.
data "google_bigquery_default_service_account" "agent" {
  count   = contains(var.agents, "bigquery.googleapis.com") ? 1 : 0
  project = split("/", google_project_service.apis["bigquery.googleapis.com"].id)[0]
}

data "google_project" "this" {
  project_id = local.with_projects
}

locals {
  agents = merge(
    {
      storage = "serviceAccount:${data.google_storage_project_service_account.agent.email_address}"
      run     = "serviceAccount:service-${data.google_project.this.number}@serverless-robot-prod.iam.gserviceaccount.com"
    },
    { for agent, email in local.known_agents : agent => "serviceAccount:${email}" if contains(var.agents, "${agent}.googleapis.com") },
    { for service, agent in google_project_service_identity.agents : trimsuffix(service, ".googleapis.com") => "serviceAccount:${agent.email}" },
  )
  agent_names = concat(["storage", "run"], [for service in var.agents : trimsuffix(service, ".googleapis.com")])
}

# What is encrypted with a key of one's own is encrypted by the agents.
resource "google_kms_crypto_key_iam_member" "agents" {
  for_each      = var.kms_key == null ? [] : toset(local.agent_names)
  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.agents[each.key]
}
