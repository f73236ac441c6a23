output "url" {
  description = "Address of the service."
  value       = google_cloud_run_v2_service.predict.uri
}

output "name" {
  description = "Name of the service."
  value       = google_cloud_run_v2_service.predict.name
}

output "service_account" {
  description = "E-mail of the service's identity."
  value       = google_service_account.service.email
}

output "password_secret" {
  description = "Name of the secret with the password."
  value       = local.secret_id
}

output "password_secret_version" {
  description = "Version of that secret that new revisions read."
  value       = local.secret_version
}

output "username" {
  description = "User name for Basic authentication."
  value       = var.username
}

output "curl" {
  description = "Command that sends a picture, ready to paste; with keys, first put one into the variable KEY."
  value = join(" ", compact([
    "curl -sS",
    # Authorization carries our own password or key, so Google's token goes into this header.
    var.public ? "" : "-H \"X-Serverless-Authorization: Bearer $(gcloud auth print-identity-token)\"",
    {
      basic = "-u \"${var.username}:$(gcloud secrets versions access latest --secret=${local.secret_id} --project=${var.project_id})\""
      keys  = "-H \"Authorization: Bearer $KEY\""
      iam   = ""
    }[var.auth],
    "-F image=@photo.jpg -F return_image=false",
    "${google_cloud_run_v2_service.predict.uri}/predict",
  ]))
}
