mock_provider "google" {}

variables {
  project_id       = "example-project"
  predict_services = ["age-gender-predict"]
}

run "predict_only" {
  command = plan

  assert {
    condition     = keys(google_monitoring_alert_policy.metric) == ["errors", "latency", "memory", "refused"]
    error_message = "what there is not is not watched"
  }
  assert {
    condition     = keys(google_monitoring_alert_policy.burn) == ["availability_fast", "availability_slow", "latency_fast", "latency_slow"]
    error_message = "both objectives have a fast and a slow alert"
  }
  assert {
    condition     = length(google_billing_budget.project) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "no budget and no e-mail unless asked for"
  }
  assert {
    condition     = keys(google_logging_metric.counter) == ["requests"] && google_logging_metric.distribution["faces"].value_extractor == "EXTRACT(jsonPayload.faces)"
    error_message = "metrics are made from the service's lines"
  }
  assert {
    condition     = strcontains(google_monitoring_slo.availability.request_based_sli[0].good_total_ratio[0].bad_service_filter, "response_code_class=\"5xx\"")
    error_message = "a 5xx is what makes the service unavailable"
  }
  assert {
    condition     = google_monitoring_slo.latency.request_based_sli[0].distribution_cut[0].range[0].max == 2000
    error_message = "two seconds are fast enough"
  }
  assert {
    condition     = alltrue([for alert in google_monitoring_alert_policy.metric : length(alert.documentation[0].content) > 40])
    error_message = "each alert says what to do"
  }
}

run "everything" {
  variables {
    name                     = "faces"
    predict_services         = ["faces-predict", "faces-gpu"]
    annotate_service         = "faces-annotate"
    backfill_job             = "faces-annotate-backfill"
    event_subscription       = "faces-annotate-uploads"
    dead_letter_subscription = "faces-annotate-dead-letters"
    emails                   = ["somebody@example.com"]
    notification_channels    = ["projects/example-project/notificationChannels/1"]
    availability_goal        = 0.999
    latency_goal             = 0.99
    latency_ms               = 1500
    max_error_percent        = 1
    max_refused_percent      = 2
    max_event_age_seconds    = 600
    billing_account          = "012345-6789AB-CDEF01"
    budget                   = 50
    labels                   = { team = "faces" }
  }

  assert {
    condition     = keys(google_monitoring_alert_policy.metric) == ["backfill", "backlog", "dead_letters", "errors", "latency", "memory", "refused"]
    error_message = "trigger, dead letters and back-fill are watched, too"
  }
  assert {
    condition     = alltrue([for alert in google_monitoring_alert_policy.metric : length(alert.notification_channels) == 2]) && alltrue([for alert in google_monitoring_alert_policy.burn : length(alert.notification_channels) == 2])
    error_message = "every alert reaches both channels"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.metric["errors"].conditions[0].condition_prometheus_query_language[0].query, "faces-predict|faces-gpu|faces-annotate") && strcontains(google_monitoring_alert_policy.metric["errors"].conditions[0].condition_prometheus_query_language[0].query, "> 0.01")
    error_message = "errors of all services count, from the share given"
  }
  assert {
    condition     = !strcontains(google_monitoring_alert_policy.metric["refused"].conditions[0].condition_prometheus_query_language[0].query, "faces-annotate") && strcontains(google_monitoring_alert_policy.metric["refused"].conditions[0].condition_prometheus_query_language[0].query, "> 0.02")
    error_message = "the trigger's 429s are back-pressure"
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.metric["latency"].conditions[0].condition_prometheus_query_language[0].query, "> 1500") && google_monitoring_slo.latency.request_based_sli[0].distribution_cut[0].range[0].max == 1500
    error_message = "alert and objective agree on what is slow"
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.metric["backlog"].conditions[0].condition_prometheus_query_language[0].query, "> 600")
    error_message = "uploads may wait for as long as asked"
  }
  assert {
    condition     = google_monitoring_slo.availability.goal == 0.999 && google_monitoring_slo.latency.goal == 0.99
    error_message = "the objectives are those given"
  }
  assert {
    condition     = google_billing_budget.project[0].amount[0].specified_amount[0].units == "50" && length(google_billing_budget.project[0].threshold_rules) == 4
    error_message = "the budget warns at 50, 90 and 100 %, and when 100 % is expected"
  }
  assert {
    condition     = google_monitoring_alert_policy.metric["errors"].user_labels.team == "faces"
    error_message = "labels are passed on"
  }
  assert {
    condition     = length(output.alerts) == 11 && join(" ", output.log_metrics) == "faces-events faces-faces faces-hopeless faces-requests"
    error_message = "the outputs list what there is"
  }
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.overview.dashboard_json).mosaicLayout.tiles) == 13
    error_message = "the dashboard shows all of it"
  }
}

run "refuses_no_service" {
  command = plan
  variables { predict_services = [] }
  expect_failures = [var.predict_services]
}

run "refuses_an_objective_that_no_alert_can_guard" {
  command = plan
  variables { latency_goal = 0.9 }
  expect_failures = [var.latency_goal]
}

run "refuses_an_objective_of_all_requests" {
  command = plan
  variables { availability_goal = 1 }
  expect_failures = [var.availability_goal]
}

run "refuses_a_path_as_subscription" {
  command = plan
  variables { dead_letter_subscription = "projects/p/subscriptions/s" }
  expect_failures = [var.dead_letter_subscription]
}

run "refuses_half_a_billing_account" {
  command = plan
  variables { billing_account = "012345" }
  expect_failures = [var.billing_account]
}

run "refuses_what_is_no_address" {
  command = plan
  variables { emails = ["somebody"] }
  expect_failures = [var.emails]
}

run "refuses_a_share_above_all" {
  command = plan
  variables { max_error_percent = 100 }
  expect_failures = [var.max_error_percent]
}
