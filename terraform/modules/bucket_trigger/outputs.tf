output "input_bucket" {
  description = "Bucket for pictures."
  value       = local.input_bucket
}

output "output_bucket" {
  description = "Bucket for results."
  value       = local.output_bucket
}

output "service" {
  description = "Name of the service."
  value       = google_cloud_run_v2_service.annotate.name
}

output "job" {
  description = "Name of the back-fill job."
  value       = google_cloud_run_v2_job.backfill.name
}

output "try_it" {
  description = "Commands that upload a picture and list its result."
  value       = "gcloud storage cp photo.jpg gs://${local.input_bucket}/${var.input_prefix} && sleep 20 && gcloud storage ls gs://${local.output_bucket}/${var.output_prefix}"
}

output "backfill_command" {
  description = "Command that annotates existing pictures."
  value       = "gcloud run jobs execute ${google_cloud_run_v2_job.backfill.name} --region=${var.region} --project=${var.project_id} --wait"
}

output "upload_topic" {
  description = "Topic that uploads are announced to; events published here are processed again."
  value       = google_pubsub_topic.uploads.name
}

output "subscription" {
  description = "Subscription that delivers uploads to the service."
  value       = google_pubsub_subscription.uploads.name
}

output "dead_letter_topic" {
  description = "Topic of the events that failed too often."
  value       = google_pubsub_topic.dead_letters.name
}

output "dead_letter_subscription" {
  description = "Subscription with the events that failed too often."
  value       = google_pubsub_subscription.dead_letters.name
}

# Pulling and publishing again would lose what fails in between; Pub/Sub itself loses none.
output "replay_command" {
  description = "Command that has the dead letters delivered to the service again, until each is done; end it with replay_end_command."
  value = join(" ", [
    "gcloud pubsub subscriptions modify-push-config ${google_pubsub_subscription.dead_letters.name}",
    "--project=${var.project_id} --push-endpoint=${google_cloud_run_v2_service.annotate.uri}",
    "--push-auth-service-account=${google_service_account.trigger.email}",
  ])
}

output "replay_end_command" {
  description = "Command that keeps dead letters waiting again, after replay_command."
  value       = "gcloud pubsub subscriptions modify-push-config ${google_pubsub_subscription.dead_letters.name} --project=${var.project_id} --push-endpoint="
}

output "bigquery_table" {
  description = "Table over the back-fill's manifests, or null."
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
