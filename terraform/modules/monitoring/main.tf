# Watches the services: alerts by e-mail, objectives (SLOs) with burn rates, metrics from the logs, a
# dashboard and a budget. It changes nothing of what it watches.

locals {
  channels = concat(
    [for c in google_monitoring_notification_channel.email : c.name],
    var.notification_channels,
  )
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = toset(var.emails)
  project      = var.project_id
  display_name = "${var.name}: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = var.labels
}
