variable "project_id" {
  type        = string
  description = "Project of the services."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "name" {
  type        = string
  description = "Prefix of the names of alerts, metrics and the dashboard."
  default     = "age-gender"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 63 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "predict_services" {
  type        = list(string)
  description = "Cloud Run services that answer POST /predict. The first one has the objectives (SLOs)."
  validation {
    condition     = length(var.predict_services) > 0 && alltrue([for s in var.predict_services : can(regex("^[a-z][a-z0-9-]{0,47}[a-z0-9]$", s))])
    error_message = "predict_services must be names of Cloud Run services, at least one."
  }
}

variable "annotate_service" {
  type        = string
  description = "Cloud Run service that annotates uploads; null: none."
  default     = null
  validation {
    condition     = var.annotate_service == null || can(regex("^[a-z][a-z0-9-]{0,47}[a-z0-9]$", var.annotate_service))
    error_message = "annotate_service must be the name of a Cloud Run service."
  }
}

variable "backfill_job" {
  type        = string
  description = "Cloud Run job of the back-fill; null: none."
  default     = null
  validation {
    condition     = var.backfill_job == null || can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.backfill_job))
    error_message = "backfill_job must be the name of a Cloud Run job."
  }
}

variable "event_subscription" {
  type        = string
  description = "Pub/Sub subscription that delivers uploads to annotate_service; null: none to watch."
  default     = null
  validation {
    condition     = var.event_subscription == null || can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", var.event_subscription))
    error_message = "event_subscription must be the name of a subscription, not its path."
  }
}

variable "dead_letter_subscription" {
  type        = string
  description = "Pub/Sub subscription with the events that failed too often; null: none."
  default     = null
  validation {
    condition     = var.dead_letter_subscription == null || can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", var.dead_letter_subscription))
    error_message = "dead_letter_subscription must be the name of a subscription, not its path."
  }
}

variable "emails" {
  type        = list(string)
  description = "Addresses that get the alerts and the budget's warnings."
  default     = []
  validation {
    condition     = alltrue([for e in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", e))])
    error_message = "each of emails must be an e-mail address."
  }
}

variable "notification_channels" {
  type        = list(string)
  description = "Existing notification channels, in addition to emails: projects/PROJECT/notificationChannels/NUMBER."
  default     = []
  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", c))])
    error_message = "each of notification_channels must look like projects/my-project/notificationChannels/123."
  }
}

variable "availability_goal" {
  type        = number
  description = "Objective: share of requests in 28 days that are not answered with a 5xx."
  default     = 0.995
  validation {
    # At a lower goal not even all requests failing would burn 14.4 times too fast.
    condition     = var.availability_goal >= 0.94 && var.availability_goal < 1
    error_message = "availability_goal must be at least 0.94 and below 1, such as 0.995."
  }
}

variable "latency_goal" {
  type        = number
  description = "Objective: share of successful requests in 28 days that take at most latency_ms."
  default     = 0.95
  validation {
    # At a lower goal not even all requests failing would burn 14.4 times too fast.
    condition     = var.latency_goal >= 0.94 && var.latency_goal < 1
    error_message = "latency_goal must be at least 0.94 and below 1, such as 0.95."
  }
}

variable "latency_ms" {
  type        = number
  description = "Milliseconds that a successful request may take, cold starts and fetching a URL included."
  default     = 2000
  validation {
    condition     = var.latency_ms >= 10 && var.latency_ms <= 3600000
    error_message = "latency_ms must be from 10 to 3600000."
  }
}

variable "max_error_percent" {
  type        = number
  description = "Percentage of requests answered with a 5xx in five minutes above which to alert."
  default     = 5
  validation {
    condition     = var.max_error_percent > 0 && var.max_error_percent < 100
    error_message = "max_error_percent must be between 0 and 100."
  }
}

variable "max_refused_percent" {
  type        = number
  description = "Percentage of requests answered with 429 in five minutes above which to alert."
  default     = 5
  validation {
    condition     = var.max_refused_percent > 0 && var.max_refused_percent < 100
    error_message = "max_refused_percent must be between 0 and 100."
  }
}

variable "max_event_age_seconds" {
  type        = number
  description = "Age of the oldest upload that has not been annotated above which to alert."
  default     = 3600
  validation {
    condition     = var.max_event_age_seconds >= 60 && floor(var.max_event_age_seconds) == var.max_event_age_seconds
    error_message = "max_event_age_seconds must be a whole number of at least 60."
  }
}

variable "billing_account" {
  type        = string
  description = "Billing account that pays for the project; null: no budget. A budget warns; it stops nothing."
  default     = null
  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account must look like 012345-6789AB-CDEF01."
  }
}

variable "budget" {
  type        = number
  description = "Amount per month, in whole units of the billing account's currency."
  default     = 100
  validation {
    condition     = var.budget >= 1 && floor(var.budget) == var.budget
    error_message = "budget must be a whole number of at least 1."
  }
}

variable "labels" {
  type        = map(string)
  description = "Labels for all resources that support them."
  default     = {}
  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels must be at most 63 lower-case letters, digits, hyphens and underscores; names start with a letter."
  }
}
