output "alerts" {
  description = "Titles of the alerts."
  value = sort(concat(
    [for policy in google_monitoring_alert_policy.metric : policy.display_name],
    [for policy in google_monitoring_alert_policy.burn : policy.display_name],
  ))
}

output "dashboard" {
  description = "Address of the dashboard."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${element(split("/", google_monitoring_dashboard.overview.id), -1)}?project=${var.project_id}"
}

output "log_metrics" {
  description = "Names of the metrics that are made from logs."
  value = sort(concat(
    [for metric in google_logging_metric.counter : metric.name],
    [for metric in google_logging_metric.distribution : metric.name],
  ))
}
