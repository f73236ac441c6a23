# Alerts, objectives, metrics from logs, a dashboard and a budget (docs/monitoring.md).

resource "google_project_service" "monitoring" {
  for_each = toset(concat(
    var.monitoring ? ["logging.googleapis.com", "monitoring.googleapis.com"] : [],
    var.monitoring && var.billing_account != null ? ["billingbudgets.googleapis.com"] : [],
  ))
  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

module "monitoring" {
  count                    = var.monitoring ? 1 : 0
  source                   = "../../modules/monitoring"
  project_id               = var.project_id
  predict_services         = [module.predict.name]
  annotate_service         = one(module.annotate[*].service)
  backfill_job             = one(module.annotate[*].job)
  dead_letter_subscription = one(module.annotate[*].dead_letter_subscription)
  emails                   = var.alert_emails
  billing_account          = var.billing_account
  budget                   = var.budget
  depends_on               = [google_project_service.monitoring]
}
