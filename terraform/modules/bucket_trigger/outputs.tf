output "input_bucket" {
  description = "Bucket to put pictures into."
  value       = local.input_bucket
}

output "output_bucket" {
  description = "Bucket to find results in."
  value       = local.output_bucket
}

output "service" {
  description = "Name of the service that annotates."
  value       = google_cloud_run_v2_service.annotate.name
}

output "job" {
  description = "Name of the back-fill job."
  value       = google_cloud_run_v2_job.backfill.name
}

output "try_it" {
  description = "Commands that put a picture into the input bucket and look for its result."
  value       = "gcloud storage cp photo.jpg gs://${local.input_bucket}/${var.input_prefix} && sleep 20 && gcloud storage ls gs://${local.output_bucket}/${var.output_prefix}"
}

output "backfill_command" {
  description = "Command that annotates what was in the bucket before."
  value       = "gcloud run jobs execute ${google_cloud_run_v2_job.backfill.name} --region=${var.region} --project=${var.project_id} --wait"
}

output "retry_command" {
  description = "Command that gives the trigger's subscription its retry policy and dead-letter topic; terraform apply runs it with set_retry_policy."
  value       = local.retry_command
}

output "dead_letter_subscription" {
  description = "Where events wait that failed too often."
  value       = google_pubsub_subscription.dead_letters.name
}

output "bigquery_table" {
  description = "Table over the back-fill's manifests, if there is one."
  value       = one([for t in google_bigquery_table.pictures : "${var.project_id}.${t.dataset_id}.${t.table_id}"])
}

output "service_account" {
  description = "E-mail of the service's identity."
  value       = google_service_account.annotate.email
}

output "backfill_service_account" {
  description = "E-mail of the job's identity."
  value       = google_service_account.backfill.email
}
