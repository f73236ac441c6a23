# Alerts, objectives, metrics from logs, a dashboard and a budget (docs/monitoring.md).
module "monitoring" {
  count                    = var.monitoring ? 1 : 0
  source                   = "../../modules/monitoring"
  project_id               = module.project.project_id
  predict_services         = concat([module.predict.name], module.predict_gpu[*].name)
  annotate_service         = one(module.annotate[*].service)
  backfill_job             = one(module.annotate[*].job)
  event_subscription       = one(module.annotate[*].subscription)
  dead_letter_subscription = one(module.annotate[*].dead_letter_subscription)
  emails                   = var.alert_emails
  billing_account          = var.billing_account
  budget                   = var.budget
  labels                   = local.labels
}
