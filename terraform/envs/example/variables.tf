variable "project_id" {
  type        = string
  description = "Project to deploy to."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region for everything."
  default     = "europe-west1"
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "image" {
  type        = string
  description = "Image to deploy; null: build this checkout with Cloud Build."
  default     = null
  validation {
    condition     = var.image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image must be a full image name with a tag or, preferably, a digest."
  }
}

variable "gpu_image" {
  type        = string
  description = "Image of the target gpu; null: build it if gke_gpu is set."
  default     = null
  validation {
    condition     = var.gpu_image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.gpu_image))
    error_message = "gpu_image must be a full image name with a tag or, preferably, a digest."
  }
}

variable "release" {
  type        = string
  description = "Tag of the images built by the first apply."
  default     = "first"
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.release))
    error_message = "release must be an image tag."
  }
}

variable "min_instances" {
  type        = number
  description = "Minimum instances of predict."
  default     = 0
  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances must be a whole number of at least 0."
  }
}

variable "max_instances" {
  type        = number
  description = "Maximum instances of predict."
  default     = 10
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "public" {
  type        = bool
  description = "Whether everyone may try the password of predict; false: only invokers."
  default     = true
}

variable "invokers" {
  type        = list(string)
  description = "IAM members that may call a private predict."
  default     = []
  validation {
    condition     = alltrue([for i in var.invokers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", i))])
    error_message = "each of invokers must be an IAM member such as user:somebody@example.com; for allUsers set public."
  }
}

variable "password" {
  type        = string
  description = "Password of predict; null: generated."
  default     = null
  sensitive   = true
  validation {
    condition     = var.password == null || length(coalesce(var.password, "-")) >= 12
    error_message = "password must have at least 12 characters."
  }
}

variable "password_secret" {
  type        = string
  description = "Existing secret with the password of predict, instead of password."
  default     = null
  validation {
    condition     = var.password_secret == null || can(regex("^[A-Za-z0-9_-]{1,255}$", var.password_secret))
    error_message = "password_secret must be a secret's name, not its path."
  }
}

variable "picture_buckets" {
  type        = list(string)
  description = "Buckets that requests may use as gs://…."
  default     = []
  validation {
    condition     = alltrue([for b in var.picture_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", b))])
    error_message = "each of picture_buckets must be a bucket name."
  }
}

variable "monitoring" {
  type        = bool
  description = "Whether to create alerts, objectives, metrics from logs and a dashboard."
  default     = false
}

variable "alert_emails" {
  type        = list(string)
  description = "Addresses that get the alerts, with monitoring."
  default     = []
  validation {
    condition     = alltrue([for e in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", e))]) && (var.monitoring || length(var.alert_emails) == 0)
    error_message = "each of alert_emails must be an e-mail address, and they need monitoring."
  }
}

variable "billing_account" {
  type        = string
  description = "Billing account for a budget that warns, with monitoring; null: no budget."
  default     = null
  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account)) && var.monitoring
    error_message = "billing_account must look like 012345-6789AB-CDEF01, and it needs monitoring."
  }
}

variable "budget" {
  type        = number
  description = "Budget per month, in whole units of the billing account's currency."
  default     = 100
  validation {
    condition     = var.budget >= 1 && floor(var.budget) == var.budget
    error_message = "budget must be a whole number of at least 1."
  }
}

variable "bucket_trigger" {
  type        = bool
  description = "Whether to annotate uploads to a bucket."
  default     = true
}

variable "input_bucket" {
  type        = string
  description = "Bucket for pictures; null: PROJECT-pictures."
  default     = null
  validation {
    condition     = var.input_bucket == null || can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.input_bucket))
    error_message = "input_bucket must be a bucket name."
  }
}

variable "output_bucket" {
  type        = string
  description = "Bucket for results; null: PROJECT-results."
  default     = null
  validation {
    condition     = var.output_bucket == null || can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.output_bucket))
    error_message = "output_bucket must be a bucket name."
  }
  validation {
    condition     = var.output_bucket == null || var.output_bucket != var.input_bucket
    error_message = "output_bucket must differ from input_bucket: results would trigger events."
  }
}

variable "annotated_image" {
  type        = string
  description = "JPEG to write with each result: none, drawn or blurred."
  default     = "none"
  validation {
    condition     = contains(["none", "drawn", "blurred"], var.annotated_image)
    error_message = "annotated_image must be none, drawn or blurred."
  }
}

variable "bigquery_dataset" {
  type        = string
  description = "BigQuery dataset to create for the back-fill's results; null: none."
  default     = null
  validation {
    condition     = var.bigquery_dataset == null || can(regex("^[A-Za-z0-9_]+$", var.bigquery_dataset))
    error_message = "bigquery_dataset must be letters, digits and underscores."
  }
}

variable "gke_gpu" {
  type        = bool
  description = "Whether to create a GPU cluster in addition to Cloud Run."
  default     = false
}
