# Alerts on what Google measures. PromQL, because ratios by service need it. Each says what to do.

locals {
  predict_pattern = join("|", var.predict_services)
  all_pattern     = join("|", concat(var.predict_services, compact([var.annotate_service])))

  predict_requests = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.predict_pattern}\"%s}"
  all_requests     = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.all_pattern}\"%s}"
  latencies        = "run_googleapis_com:request_latencies_bucket{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.predict_pattern}\"}"
  memory           = "run_googleapis_com:container_memory_utilizations_bucket{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.all_pattern}\"}"
  instances        = "run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.all_pattern}\",state=\"active\"}"
  cpu              = "run_googleapis_com:container_cpu_utilizations_bucket{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.all_pattern}\"}"
  undelivered      = "pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"%s\"}"
  oldest           = "pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\",subscription_id=\"%s\"}"

  errors = format(local.all_requests, ",response_code_class=\"5xx\"")
  # The trigger's 429s are back-pressure: Pub/Sub delivers those events again.
  refused = format(local.predict_requests, ",response_code=\"429\"")

  error_ratio = join(" ", [
    "sum by (service_name) (rate(${local.errors}[5m]))",
    "/ sum by (service_name) (rate(${format(local.all_requests, "")}[5m]))",
  ])
  refused_ratio = join(" ", [
    "sum by (service_name) (rate(${local.refused}[5m]))",
    "/ sum by (service_name) (rate(${format(local.predict_requests, "")}[5m]))",
  ])
  latency_p95 = "histogram_quantile(0.95, sum by (le, service_name) (rate(${local.latencies}[10m])))"
  memory_p99  = "histogram_quantile(0.99, sum by (le, service_name) (rate(${local.memory}[10m])))"

  alerts = merge(
    {
      errors = {
        title    = "server errors"
        severity = "CRITICAL"
        # A single error in a quiet hour wakes no one up.
        query    = "(${local.error_ratio} > ${var.max_error_percent / 100}) and on (service_name) (sum by (service_name) (increase(${local.errors}[5m])) >= 5)"
        duration = "60s"
        advice   = "Search the logs for severity>=ERROR and their request ids. After a release, roll back (docs/deploy.md#roll-back). 503 with the code model-unavailable: the image has no models or, with GPU_REQUIRED, the instance no GPU."
      }
      latency = {
        title    = "slow answers"
        severity = "WARNING"
        query    = "${local.latency_p95} > ${var.latency_ms}"
        duration = "600s"
        advice   = "Server-Timing and the log line of a slow request say which stage. fetch: the picture's server. wait: raise max_instances or cpu. A cold start: min_instances."
      }
      refused = {
        title    = "too many requests refused (429)"
        severity = "WARNING"
        query    = "(${local.refused_ratio} > ${var.max_refused_percent / 100}) and on (service_name) (sum by (service_name) (increase(${local.refused}[5m])) >= 5)"
        duration = "120s"
        advice   = "All instances are busy. Raise max_instances within the region's CPU quota, or find the client that floods (docs/scale.md)."
      }
      memory = {
        title    = "memory almost used up"
        severity = "WARNING"
        query    = "${local.memory_p99} > 0.9"
        duration = "600s"
        advice   = "Lower MAX_PIXELS or the concurrency, or raise memory (docs/troubleshooting.md)."
      }
    },
    var.dead_letter_subscription == null ? {} : {
      dead_letters = {
        title    = "events that failed too often"
        severity = "ERROR"
        query    = "max(${format(local.undelivered, var.dead_letter_subscription)}) > 0"
        duration = "0s"
        advice   = "Mend the cause, then replay them (docs/monitoring.md#replay-dead-letters). They are kept for 31 days."
      }
    },
    var.event_subscription == null ? {} : {
      backlog = {
        title    = "uploads wait"
        severity = "WARNING"
        query    = "max(${format(local.oldest, var.event_subscription)}) > ${var.max_event_age_seconds}"
        duration = "300s"
        advice   = "Raise the trigger's max_instances. If deliveries fail, its logs say why."
      }
    },
    var.backfill_job == null ? {} : {
      backfill = {
        title    = "back-fill failed"
        severity = "WARNING"
        query    = "sum(increase(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"${var.backfill_job}\",result=\"failed\"}[10m])) > 0"
        duration = "0s"
        advice   = "Run it again: it does only what is missing (docs/bucket.md#the-back-fill)."
      }
    },
  )
}

resource "google_monitoring_alert_policy" "metric" {
  for_each              = local.alerts
  project               = var.project_id
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
    }
  }

  documentation {
    content   = each.value.advice
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
