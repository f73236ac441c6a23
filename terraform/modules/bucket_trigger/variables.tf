variable "project_id" {
  type        = string
  description = "Project that everything belongs to."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the service and the job, such as europe-west1."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "bucket_location" {
  type        = string
  description = "Location of the buckets and of the trigger: that of an input bucket that is there already, or a region, or EU, US or ASIA; null means region."
  default     = null
  validation {
    condition     = var.bucket_location == null || can(regex("^([a-z]+-[a-z]+[0-9]+|(?i:EU|US|ASIA))$", var.bucket_location))
    error_message = "bucket_location must look like europe-west1, or be EU, US or ASIA."
  }
}

variable "name" {
  type        = string
  description = "Name of the service; the trigger, job, topic and identities are named after it."
  default     = "age-gender-annotate"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,24}[a-z0-9]$", var.name))
    error_message = "name must be 6 to 26 lower-case letters, digits and hyphens and begin with a letter (a service account's name has 30)."
  }
}

variable "image" {
  type        = string
  description = "Image to begin with, best by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:…. Later images come by releases."
  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image must be a full image name, with a tag or, better, a digest."
  }
}

variable "input_bucket" {
  type        = string
  description = "Bucket whose uploads are annotated."
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.input_bucket))
    error_message = "input_bucket must be a bucket's plain name."
  }
}

variable "output_bucket" {
  type        = string
  description = "Bucket for the results; another one than input_bucket."
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.output_bucket))
    error_message = "output_bucket must be a bucket's plain name."
  }
  validation {
    condition     = var.output_bucket != var.input_bucket
    error_message = "output_bucket must not be input_bucket: results would be uploads again."
  }
}

variable "create_input_bucket" {
  type        = bool
  description = "Whether to make the input bucket; false uses one that is there."
  default     = true
}

variable "create_output_bucket" {
  type        = bool
  description = "Whether to make the output bucket; false uses one that is there."
  default     = true
}

variable "input_prefix" {
  type        = string
  description = "Only objects whose names start with this are annotated."
  default     = ""
  validation {
    condition     = !startswith(var.input_prefix, "/") && !startswith(var.input_prefix, "gs:")
    error_message = "input_prefix is what objects' names start with, such as uploads/: without bucket and leading slash."
  }
}

variable "output_prefix" {
  type        = string
  description = "What the names of results start with."
  default     = ""
  validation {
    condition     = !startswith(var.output_prefix, "/") && !startswith(var.output_prefix, "gs:") && length(var.output_prefix) <= 512
    error_message = "output_prefix is what results' names start with, such as run-1/: without bucket and leading slash, at most 512 bytes."
  }
}

variable "annotated_image" {
  type        = string
  description = "Whether a JPEG is written beside each result: none, drawn (boxes and labels) or blurred (faces unrecognisable)."
  default     = "none"
  validation {
    condition     = contains(["none", "drawn", "blurred"], var.annotated_image)
    error_message = "annotated_image must be none, drawn or blurred."
  }
}

variable "input_versioning" {
  type        = bool
  description = "Whether the input bucket keeps pictures that are overwritten or deleted, for 30 days."
  default     = false
}

variable "output_versioning" {
  type        = bool
  description = "Whether the output bucket keeps results that are replaced. They carry their picture's generation anyway."
  default     = false
}

variable "input_days" {
  type        = number
  description = "Days after which pictures are deleted; null keeps them."
  default     = null
  validation {
    condition     = var.input_days == null || try(var.input_days >= 1 && floor(var.input_days) == var.input_days, false)
    error_message = "input_days must be a whole number of at least 1, or null."
  }
}

variable "output_days" {
  type        = number
  description = "Days after which results are deleted; null keeps them."
  default     = null
  validation {
    condition     = var.output_days == null || try(var.output_days >= 1 && floor(var.output_days) == var.output_days, false)
    error_message = "output_days must be a whole number of at least 1, or null."
  }
}

variable "force_destroy" {
  type        = bool
  description = "Whether terraform destroy deletes the buckets even with objects in them."
  default     = false
}

variable "cpu" {
  type        = number
  description = "CPUs of an instance of the service."
  default     = 2
  validation {
    condition     = contains([1, 2, 4, 6, 8], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8."
  }
}

variable "memory" {
  type        = string
  description = "Memory of an instance of the service, and of each of the job's tasks."
  default     = "1Gi"
  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory)) && try(tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1), 0) >= 512
    error_message = "memory must be at least 512Mi, written like 512Mi or 2Gi."
  }
}

variable "concurrency" {
  type        = number
  description = "Events that an instance works on at a time. null means 4 for each CPU: nobody waits for them, and storage is what they wait for."
  default     = null
  validation {
    condition     = var.concurrency == null || try(var.concurrency >= 1 && var.concurrency <= 64 && floor(var.concurrency) == var.concurrency, false)
    error_message = "concurrency must be a whole number from 1 to 64."
  }
}

variable "max_instances" {
  type        = number
  description = "Most instances: the limit of what a flood of uploads can cost. The rest waits in Pub/Sub."
  default     = 10
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "timeout_seconds" {
  type        = number
  description = "Longest an event may take. Pub/Sub waits no longer than 600 seconds for an answer."
  default     = 120
  validation {
    condition     = var.timeout_seconds >= 10 && var.timeout_seconds <= 600
    error_message = "timeout_seconds must be from 10 to 600."
  }
}

variable "max_delivery_attempts" {
  type        = number
  description = "How often an event is tried before it goes to the dead-letter topic."
  default     = 10
  validation {
    condition     = var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100 && floor(var.max_delivery_attempts) == var.max_delivery_attempts
    error_message = "max_delivery_attempts must be a whole number from 5 to 100."
  }
}

variable "set_retry_policy" {
  type        = bool
  description = "Whether terraform apply calls gcloud to give the trigger's subscription its retry policy and dead-letter topic, which the provider cannot. With false, run the output retry_command yourself."
  default     = true
}

variable "backfill_shards" {
  type        = number
  description = "Tasks that a back-fill is divided into; all run at the same time."
  default     = 4
  validation {
    condition     = var.backfill_shards >= 1 && var.backfill_shards <= 1000 && floor(var.backfill_shards) == var.backfill_shards
    error_message = "backfill_shards must be a whole number from 1 to 1000."
  }
}

variable "backfill_cpu" {
  type        = number
  description = "CPUs of each of the back-fill's tasks. As many pictures are judged at a time, each on one: more CPUs want more memory and save nothing."
  default     = 1
  validation {
    condition     = contains([1, 2, 4, 8], var.backfill_cpu)
    error_message = "backfill_cpu must be 1, 2, 4 or 8."
  }
}

variable "bigquery_dataset" {
  type        = string
  description = "Name of a BigQuery dataset to make, with a table over the back-fill's manifests; null makes none."
  default     = null
  validation {
    condition     = var.bigquery_dataset == null || can(regex("^[A-Za-z0-9_]+$", var.bigquery_dataset))
    error_message = "bigquery_dataset must be letters, digits and underscores."
  }
}

variable "settings" {
  type        = map(string)
  description = "Further settings of service and job, by their names in the environment, such as ANNOTATE_MIN_FACE = \"40\"."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings are written in capitals, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "INPUT_BUCKET", "OUTPUT_BUCKET", "PORT", "THREADS"])) == 0
    error_message = "settings must not hold what the module itself sets; the buckets have variables, PORT is Cloud Run's."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete the service and the job."
  default     = false
}

variable "labels" {
  type        = map(string)
  description = "Labels of all that can have some."
  default     = {}
  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels are lower-case letters, digits, hyphens and underscores, at most 63; names begin with a letter."
  }
}
