output "url" {
  description = "Address of the service."
  value       = module.predict.url
}

output "curl" {
  description = "Command that sends photo.jpg."
  value       = module.predict.curl
}

output "buckets" {
  description = "Buckets for pictures and results."
  value       = var.bucket_trigger ? { input = module.annotate[0].input_bucket, output = module.annotate[0].output_bucket } : null
}

output "try_bucket" {
  description = "Command that uploads photo.jpg and lists its result."
  value       = one(module.annotate[*].try_it)
}

output "backfill" {
  description = "Command that annotates existing pictures."
  value       = one(module.annotate[*].backfill_command)
}

output "dashboard" {
  description = "Address of the dashboard, with monitoring."
  value       = one(module.monitoring[*].dashboard)
}

output "registry" {
  description = "Prefix of image names."
  value       = module.registry.url
}

output "build_service_account" {
  description = "Identity for releases."
  value       = google_service_account.build.email
}

output "release" {
  description = "Command that tests, builds and releases this checkout; run it in the repository's root."
  value = join("", [
    local.submit,
    " --substitutions=_REGION=${var.region},_REPOSITORY=${module.registry.name},_SERVICE=${module.predict.name}",
    ",_USERNAME=${module.predict.username},_PASSWORD_SECRET=${module.predict.password_secret}",
    var.bucket_trigger ? ",_ANNOTATE_SERVICE=${module.annotate[0].service},_BACKFILL_JOB=${module.annotate[0].job}" : "",
  ])
}

output "gpu_manifests" {
  description = "Manifests for kubectl, with gke_gpu."
  value       = one(module.gpu[*].manifests)
}

output "gpu_apply" {
  description = "Commands that deploy to the GPU cluster; first write the output gpu_manifests to the file $MANIFESTS."
  value       = one(module.gpu[*].apply_command)
}
