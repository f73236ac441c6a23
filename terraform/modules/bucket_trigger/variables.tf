variable "project_id" {
  type        = string
  description = "Project of all resources."
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
  description = "Location of the buckets: a region, EU, US or ASIA, or a pair of regions such as EUR4. null: region."
  default     = null
  validation {
    condition     = var.bucket_location == null || can(regex("^([a-z]+-[a-z]+[0-9]+|(?i:EU|US|ASIA|ASIA1|EUR[4578]|NAM4))$", var.bucket_location))
    error_message = "bucket_location must look like europe-west1, or be EU, US, ASIA, ASIA1, EUR4, EUR5, EUR7, EUR8 or NAM4."
  }
}

variable "name" {
  type        = string
  description = "Name of the service, and prefix of trigger, job, topic and identities."
  default     = "age-gender-annotate"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,24}[a-z0-9]$", var.name))
    error_message = "name must be 6 to 26 lower-case letters, digits and hyphens, starting with a letter (service account names have at most 30)."
  }
}

variable "image" {
  type        = string
  description = "Initial image, preferably by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:…. Releases replace it."
  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image must be a full image name with a tag or, preferably, a digest."
  }
}

variable "input_bucket" {
  type        = string
  description = "Bucket whose uploads are annotated."
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.input_bucket))
    error_message = "input_bucket must be a bucket name."
  }
}

variable "output_bucket" {
  type        = string
  description = "Bucket for results; not input_bucket."
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.output_bucket))
    error_message = "output_bucket must be a bucket name."
  }
  validation {
    condition     = var.output_bucket != var.input_bucket
    error_message = "output_bucket must differ from input_bucket: results would trigger events."
  }
}

variable "storage_agent" {
  type        = string
  description = "IAM member that is the project's agent of Cloud Storage, which announces uploads: agents.storage of the module project."
  validation {
    condition     = startswith(var.storage_agent, "serviceAccount:")
    error_message = "storage_agent must be an IAM member serviceAccount:…."
  }
}

variable "pubsub_agent" {
  type        = string
  description = "IAM member that is the project's agent of Pub/Sub, which delivers events: agents.pubsub of the module project."
  validation {
    condition     = startswith(var.pubsub_agent, "serviceAccount:")
    error_message = "pubsub_agent must be an IAM member serviceAccount:…."
  }
}

variable "create_input_bucket" {
  type        = bool
  description = "Whether to create the input bucket; false: use an existing one."
  default     = true
}

variable "create_output_bucket" {
  type        = bool
  description = "Whether to create the output bucket; false: use an existing one."
  default     = true
}

variable "input_prefix" {
  type        = string
  description = "Prefix of the object names to annotate."
  default     = ""
  validation {
    condition     = !startswith(var.input_prefix, "/") && !startswith(var.input_prefix, "gs:")
    error_message = "input_prefix must be an object name prefix such as uploads/, without bucket or leading slash."
  }
}

variable "output_prefix" {
  type        = string
  description = "Prefix of the results' names."
  default     = ""
  validation {
    condition     = !startswith(var.output_prefix, "/") && !startswith(var.output_prefix, "gs:") && length(var.output_prefix) <= 512
    error_message = "output_prefix must be an object name prefix such as run-1/, without bucket or leading slash, at most 512 bytes."
  }
}

variable "annotated_image" {
  type        = string
  description = "JPEG to write with each result: none, drawn (boxes and labels) or blurred (faces unrecognisable)."
  default     = "none"
  validation {
    condition     = contains(["none", "drawn", "blurred"], var.annotated_image)
    error_message = "annotated_image must be none, drawn or blurred."
  }
}

variable "input_versioning" {
  type        = bool
  description = "Whether the input bucket keeps overwritten and deleted pictures for 30 days."
  default     = false
}

variable "output_versioning" {
  type        = bool
  description = "Whether the output bucket keeps replaced results. Result names contain the picture's generation anyway."
  default     = false
}

variable "input_days" {
  type        = number
  description = "Days after which pictures are deleted, and input_soft_delete_days later erased; null: never."
  default     = null
  validation {
    condition     = var.input_days == null || try(var.input_days >= 1 && floor(var.input_days) == var.input_days, false)
    error_message = "input_days must be a whole number of at least 1, or null."
  }
}

variable "output_days" {
  type        = number
  description = "Days after which results are deleted, and output_soft_delete_days later erased; null: never."
  default     = null
  validation {
    condition     = var.output_days == null || try(var.output_days >= 1 && floor(var.output_days) == var.output_days, false)
    error_message = "output_days must be a whole number of at least 1, or null."
  }
}

variable "input_soft_delete_days" {
  type        = number
  description = "Days for which deleted pictures can be restored; only then are they erased. 0: deleting erases at once."
  default     = 7
  validation {
    condition     = var.input_soft_delete_days == 0 || (var.input_soft_delete_days >= 7 && var.input_soft_delete_days <= 90)
    error_message = "input_soft_delete_days must be 0 or from 7 to 90."
  }
}

variable "output_soft_delete_days" {
  type        = number
  description = "Days for which deleted results can be restored; only then are they erased. 0: deleting erases at once."
  default     = 7
  validation {
    condition     = var.output_soft_delete_days == 0 || (var.output_soft_delete_days >= 7 && var.output_soft_delete_days <= 90)
    error_message = "output_soft_delete_days must be 0 or from 7 to 90."
  }
}

variable "force_destroy" {
  type        = bool
  description = "Whether terraform destroy deletes buckets that are not empty."
  default     = false
}

variable "cpu" {
  type        = number
  description = "CPUs per service instance."
  default     = 2
  validation {
    condition     = contains([1, 2, 4, 6, 8], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8."
  }
}

variable "memory" {
  type        = string
  description = "Memory per service instance and per job task."
  default     = "1Gi"
  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory)) && try(tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1), 0) >= 512
    error_message = "memory must be at least 512Mi, in the form 512Mi or 2Gi."
  }
}

variable "concurrency" {
  type        = number
  description = "Concurrent events per instance. null: 4 per CPU, since latency does not matter and events mostly wait for storage."
  default     = null
  validation {
    condition     = var.concurrency == null || try(var.concurrency >= 1 && var.concurrency <= 64 && floor(var.concurrency) == var.concurrency, false)
    error_message = "concurrency must be a whole number from 1 to 64."
  }
}

variable "max_instances" {
  type        = number
  description = "Maximum number of instances, which caps what a flood of uploads can cost. Further events wait in Pub/Sub. Google refuses more CPU and memory than the region's quota: 20 vCPU and 40 GiB in a new project."
  default     = 2
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "timeout_seconds" {
  type        = number
  description = "Maximum seconds per event. Pub/Sub waits at most 600 seconds for a response."
  default     = 120
  validation {
    condition     = var.timeout_seconds >= 10 && var.timeout_seconds <= 600
    error_message = "timeout_seconds must be from 10 to 600."
  }
}

variable "retry_seconds" {
  type        = number
  description = "Seconds for which the service itself tries an event again before that uses up a delivery attempt; null: a quarter of timeout_seconds. 0: never."
  default     = null
  validation {
    condition     = var.retry_seconds == null || try(var.retry_seconds >= 0 && var.retry_seconds <= var.timeout_seconds / 4, false)
    error_message = "retry_seconds must be from 0 to a quarter of timeout_seconds: the last try needs the rest."
  }
}

variable "max_delivery_attempts" {
  type        = number
  description = "Delivery attempts before an event goes to the dead-letter topic. 100 last for about 16 hours, 10 for 45 minutes."
  default     = 100
  validation {
    condition     = var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100 && floor(var.max_delivery_attempts) == var.max_delivery_attempts
    error_message = "max_delivery_attempts must be a whole number from 5 to 100."
  }
}

variable "backfill_shards" {
  type        = number
  description = "Number of parallel tasks of a back-fill."
  default     = 4
  validation {
    condition     = var.backfill_shards >= 1 && var.backfill_shards <= 1000 && floor(var.backfill_shards) == var.backfill_shards
    error_message = "backfill_shards must be a whole number from 1 to 1000."
  }
}

variable "backfill_cpu" {
  type        = number
  description = "CPUs per back-fill task. Each processes one picture at a time: more CPUs per task need more memory and save nothing."
  default     = 1
  validation {
    condition     = contains([1, 2, 4, 8], var.backfill_cpu)
    error_message = "backfill_cpu must be 1, 2, 4 or 8."
  }
}

variable "bigquery_dataset" {
  type        = string
  description = "BigQuery dataset to create, with a table over the back-fill's manifests; null: none."
  default     = null
  validation {
    condition     = var.bigquery_dataset == null || can(regex("^[A-Za-z0-9_]+$", var.bigquery_dataset))
    error_message = "bigquery_dataset must be letters, digits and underscores."
  }
}

variable "kms_key" {
  type        = string
  description = "Cloud KMS key, in region, that encrypts buckets, messages, containers and tables; the agents must be allowed to use it, see the module project. null: Google's own."
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must look like projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3], "") == var.region && (var.bucket_location == null || var.bucket_location == var.region)
    error_message = "kms_key must be in region, and the buckets, too."
  }
}

variable "egress" {
  type = object({
    network    = string
    subnetwork = string
    tags       = optional(list(string), [])
  })
  description = "Network, subnetwork and network tags of all outgoing connections, as the output egress of the module network has them; null: straight to the internet."
  default     = null
  validation {
    condition     = var.egress == null || try(var.egress.network != "" && var.egress.subnetwork != "", false)
    error_message = "egress must name a network and a subnetwork."
  }
}

variable "settings" {
  type        = map(string)
  description = "Additional environment variables of service and job, such as ANNOTATE_MIN_FACE = \"40\"."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings must be upper case, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["ANNOTATE_RETRY_SECONDS", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "INPUT_BUCKET", "MAX_QUEUE", "OUTPUT_BUCKET", "PORT", "QUEUE_TIMEOUT", "THREADS"])) == 0
    error_message = "settings must not repeat what the module sets; buckets and times have variables, Cloud Run sets PORT."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete the service and the job."
  default     = false
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
