# Objectives of the first of predict_services, and alerts on how fast their error budgets burn:
# at 14.4 times the rate that just keeps the objective, two days use up the budget of 28; at 6 times,
# not quite five days. The short window ends the alert soon after the cause is gone.
# (Google, The Site Reliability Workbook, chapter 5.)

locals {
  slo_service = var.predict_services[0]
  slo_filter  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${local.slo_service}\""

  slos = {
    availability = google_monitoring_slo.availability.name
    latency      = google_monitoring_slo.latency.name
  }
  burn_rates = {
    fast = { rate = 14.4, long = "3600s", short = "300s", severity = "CRITICAL" }
    slow = { rate = 6, long = "21600s", short = "1800s", severity = "WARNING" }
  }
  burns = merge([
    for objective, slo in local.slos : {
      for speed, burn in local.burn_rates :
      "${objective}_${speed}" => merge(burn, { objective = objective, speed = speed, slo = slo })
    }
  ]...)
}

resource "google_monitoring_custom_service" "predict" {
  project      = var.project_id
  service_id   = "${var.name}-predict"
  display_name = "${var.name}: ${local.slo_service}"
  user_labels  = var.labels
}

resource "google_monitoring_slo" "availability" {
  project             = var.project_id
  service             = google_monitoring_custom_service.predict.service_id
  slo_id              = "availability"
  display_name        = "${var.availability_goal * 100} % of requests are not answered with a 5xx"
  goal                = var.availability_goal
  rolling_period_days = 28
  user_labels         = var.labels

  request_based_sli {
    good_total_ratio {
      total_service_filter = "metric.type=\"run.googleapis.com/request_count\" AND ${local.slo_filter}"
      bad_service_filter   = "metric.type=\"run.googleapis.com/request_count\" AND ${local.slo_filter} AND metric.labels.response_code_class=\"5xx\""
    }
  }
}

resource "google_monitoring_slo" "latency" {
  project             = var.project_id
  service             = google_monitoring_custom_service.predict.service_id
  slo_id              = "latency"
  display_name        = "${var.latency_goal * 100} % of successful requests take at most ${var.latency_ms} ms"
  goal                = var.latency_goal
  rolling_period_days = 28
  user_labels         = var.labels

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.slo_filter} AND metric.labels.response_code_class=\"2xx\""
      range {
        max = var.latency_ms
      }
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each              = local.burns
  project               = var.project_id
  display_name          = "${var.name}: ${each.value.objective} budget burns ${each.value.rate} times too fast"
  combiner              = "AND"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = [each.value.long, each.value.short]
    content {
      display_name = "over ${conditions.value}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.slo}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  documentation {
    content   = "The objective of 28 days will be missed if this goes on. The alerts on errors and latency say where to look (docs/monitoring.md)."
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
