# A budget for the project. It warns; to cap costs, set max_instances.

data "google_project" "this" {
  count      = var.billing_account == null ? 0 : 1
  project_id = var.project_id
}

resource "google_billing_budget" "project" {
  count           = var.billing_account == null ? 0 : 1
  billing_account = var.billing_account
  display_name    = "${var.name}: ${var.project_id}"

  budget_filter {
    # By number: Google answers with it, and an ID would be a change in every plan.
    projects = ["projects/${data.google_project.this[0].number}"]
  }

  amount {
    specified_amount {
      # Without a currency, the account's own.
      units = tostring(var.budget)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1]
    content {
      threshold_percent = threshold_rules.value
    }
  }
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    # Five at most.
    monitoring_notification_channels = slice(local.channels, 0, min(5, length(local.channels)))
    # Whoever administers the billing account hears of it, even without channels.
    disable_default_iam_recipients = false
  }
}
