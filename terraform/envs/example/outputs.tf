locals {
  url = var.domain == null ? module.predict.url : module.load_balancer[0].url
}

output "url" {
  description = "Address of the service."
  value       = local.url
}

output "curl" {
  description = "Command that sends photo.jpg."
  value       = replace(module.predict.curl, module.predict.url, local.url)
}

output "gpu_curl" {
  description = "Command that sends photo.jpg to the service with a GPU, with gpu."
  value       = one(module.predict_gpu[*].curl)
}

output "dns_record" {
  description = "DNS record to make, with domain."
  value       = one([for balancer in module.load_balancer : "${var.domain}. A ${balancer.address}"])
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

output "replay" {
  description = "Command that has dead letters delivered again; end it with replay_end."
  value       = one(module.annotate[*].replay_command)
}

output "replay_end" {
  description = "Command that ends replay, when no dead letters are left."
  value       = one(module.annotate[*].replay_end_command)
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
  description = "Commands that test, build and release this checkout; run them in the repository's root."
  value = join(" && ", concat(
    [local.test],
    [
      for target, substitutions in local.released :
      "${local.submit.build} --substitutions=${local.registry_substitutions},_TARGET=${target},_REVISION=$(git rev-parse HEAD)${substitutions}${local.mirror_substitution}"
    ],
  ))
}

output "promote" {
  description = "Commands that test what terraform apply has configured, with the images there are, and move the traffic to it; run them in the repository's root."
  value = join(" && ", [
    for target, substitutions in local.released :
    "${local.submit.build} --substitutions=${local.registry_substitutions},_TARGET=${target},_BUILD=false${substitutions}" if substitutions != ",_SERVICE="
  ])
}

output "release_image" {
  description = "Commands that test the image that the variable IMAGE names by digest, which another environment has tried, and release it; run them in the repository's root."
  value       = "${local.submit.build} --substitutions=${local.registry_substitutions},_BUILD=false,_IMAGE=$IMAGE${local.released.cpu}"
}

output "gpu_manifests" {
  description = "Manifests for kubectl, with gke_gpu."
  value       = one(module.gpu[*].manifests)
}

output "gpu_apply" {
  description = "Commands that deploy to the GPU cluster; first write the output gpu_manifests to the file $MANIFESTS."
  value       = one(module.gpu[*].apply_command)
}

output "gpu_quota" {
  description = "Command that lists the region's quotas, for gpu_quota."
  value       = "gcloud compute regions describe ${var.region} --project=${var.project_id} --flatten=quotas --format='table(quotas.metric,quotas.limit,quotas.usage)'"
}

output "gpu_delete" {
  description = "Commands to run before terraform destroy, with gke_gpu."
  value       = one(module.gpu[*].delete_command)
}
