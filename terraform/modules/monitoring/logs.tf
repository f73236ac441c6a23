# Metrics from the services' JSON log lines: what Google's own metrics cannot know. Cloud Logging
# counts from the moment a metric exists; earlier lines stay uncounted.

locals {
  predict_lines = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for s in var.predict_services : "\"${s}\""])})"
  event_lines   = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${coalesce(var.annotate_service, "none")}\""

  counters = merge(
    {
      requests = {
        description = "Requests for predictions by status and the problem's code"
        # Not by route: clients choose it, and every value would be a time series.
        filter = "${local.predict_lines} AND jsonPayload.route=~\"^/predict\" AND jsonPayload.status:*"
        labels = {
          status = "EXTRACT(jsonPayload.status)"
          code   = "EXTRACT(jsonPayload.code)"
        }
      }
    },
    var.annotate_service == null ? {} : {
      events = {
        description = "Uploads by outcome: annotated, refused, done-before"
        filter      = "${local.event_lines} AND jsonPayload.event_id:* AND jsonPayload.status:*"
        labels      = { status = "EXTRACT(jsonPayload.status)" }
      }
      hopeless = {
        description = "Events that can never be handled and were acknowledged"
        filter      = "${local.event_lines} AND jsonPayload.hopeless:*"
        labels      = {}
      }
    },
  )

  distributions = {
    faces = {
      description = "Faces per picture"
      unit        = "1"
      filter      = "${local.predict_lines} AND jsonPayload.route=~\"^/predict\" AND jsonPayload.faces:*"
      value       = "EXTRACT(jsonPayload.faces)"
      bounds      = [0, 1, 2, 3, 5, 10, 20, 50, 100, 300]
    }
  }
}

resource "google_logging_metric" "counter" {
  for_each    = local.counters
  project     = var.project_id
  name        = "${var.name}-${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = keys(each.value.labels)
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }
  label_extractors = each.value.labels
}

resource "google_logging_metric" "distribution" {
  for_each        = local.distributions
  project         = var.project_id
  name            = "${var.name}-${each.key}"
  description     = each.value.description
  filter          = each.value.filter
  value_extractor = each.value.value

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    explicit_buckets {
      bounds = each.value.bounds
    }
  }
}
