output "cluster" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "manifests" {
  description = "All manifests, in one file, for kubectl."
  value       = join("---\n", local.manifests)
}

output "apply_command" {
  description = "Commands that apply password or keys, and manifests; MANIFESTS is the file with the output manifests."
  value = join(" && ", [
    "gcloud container clusters get-credentials ${google_container_cluster.this.name} --dns-endpoint --location=${var.region} --project=${var.project_id}",
    "kubectl create namespace ${var.namespace} --dry-run=client -o yaml | kubectl apply -f -",
    "kubectl create secret generic ${local.access.copy} --namespace=${var.namespace} --from-literal=${local.access.key}=\"$(gcloud secrets versions access latest --secret=${local.access.secret} --project=${var.project_id})\" --dry-run=client -o yaml | kubectl apply -f -",
    "kubectl apply -f \"$MANIFESTS\"",
  ])
}

output "quota_command" {
  description = "Command that lists the region's quotas; look for the GPU's."
  value       = "gcloud compute regions describe ${var.region} --project=${var.project_id} --flatten=quotas --format='table(quotas.metric,quotas.limit,quotas.usage)'"
}

output "delete_command" {
  description = "Commands to run before terraform destroy: the load balancer belongs to Kubernetes, and the network cannot be deleted with it."
  value = join(" && ", [
    "gcloud container clusters get-credentials ${google_container_cluster.this.name} --dns-endpoint --location=${var.region} --project=${var.project_id}",
    "kubectl delete namespace ${var.namespace} --ignore-not-found --timeout=10m",
  ])
}
