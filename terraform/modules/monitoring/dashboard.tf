# One page for all of it: two columns of charts.

locals {
  # Of metrics from logs. PromQL writes every other character of a metric's name as _.
  log_metric = "logging_googleapis_com:user_${replace(var.name, "-", "_")}"
  from_logs  = "{monitored_resource=\"cloud_run_revision\"}"

  charts = concat(
    [
      { title = "Requests per second, by status class", query = "sum by (service_name, response_code_class) (rate(${format(local.all_requests, "")}[1m]))" },
      { title = "Latency, 95th percentile (ms)", query = local.latency_p95 },
      { title = "Share of server errors (5xx)", query = local.error_ratio },
      { title = "Share of requests refused (429)", query = local.refused_ratio },
      { title = "Instances at work", query = "sum by (service_name) (${local.instances})" },
      { title = "CPU utilisation, median", query = "histogram_quantile(0.5, sum by (le, service_name) (rate(${local.cpu}[5m])))" },
      { title = "Memory utilisation, 99th percentile", query = local.memory_p99 },
      { title = "Problems by code, from the logs", query = "sum by (code) (rate(${local.log_metric}_requests{monitored_resource=\"cloud_run_revision\",code!=\"\"}[5m]))" },
      { title = "Faces per picture, median, from the logs", query = "histogram_quantile(0.5, sum by (le) (rate(${local.log_metric}_faces_bucket${local.from_logs}[10m])))" },
    ],
    var.annotate_service == null ? [] : [
      { title = "Uploads by outcome, from the logs", query = "sum by (status) (rate(${local.log_metric}_events${local.from_logs}[5m]))" },
      { title = "Events acknowledged as hopeless, from the logs", query = "sum(increase(${local.log_metric}_hopeless${local.from_logs}[10m]))" },
    ],
    var.event_subscription == null ? [] : [
      { title = "Age of the oldest upload that waits (s)", query = "max(${format(local.oldest, var.event_subscription)})" },
    ],
    var.dead_letter_subscription == null ? [] : [
      { title = "Dead letters", query = "max(${format(local.undelivered, var.dead_letter_subscription)})" },
    ],
  )
}

resource "google_monitoring_dashboard" "overview" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName = var.name
    mosaicLayout = {
      columns = 48
      tiles = [
        for index, chart in local.charts : {
          xPos   = 24 * (index % 2)
          yPos   = 16 * floor(index / 2)
          width  = 24
          height = 16
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType        = "LINE"
                timeSeriesQuery = { prometheusQuery = chart.query }
              }]
            }
          }
        }
      ]
    }
  })
}
