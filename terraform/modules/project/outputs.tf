output "project_id" {
  description = "The project's ID, once its APIs are enabled and its agents may use kms_key."
  value       = var.project_id
  depends_on  = [google_project_service.apis, google_project_service_identity.agents, google_kms_crypto_key_iam_member.agents]
}

output "services" {
  description = "The APIs that are enabled."
  value       = keys(google_project_service.apis)
}

output "agents" {
  description = "Google's service agents as IAM members, by service: storage, run, and those of agents, such as pubsub."
  value       = local.agents
}
