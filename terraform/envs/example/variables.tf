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
  description = "Image of the target gpu; null: build it if gpu or gke_gpu is set."
  default     = null
  validation {
    condition     = var.gpu_image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.gpu_image))
    error_message = "gpu_image must be a full image name with a tag or, preferably, a digest."
  }
}

variable "build_region" {
  type        = string
  description = "Region of the builds; null: region. Cloud Build restricts new projects to some regions, among them us-central1 and europe-west1."
  default     = null
  validation {
    condition     = var.build_region == null || can(regex("^([a-z]+-[a-z]+[0-9]+|global)$", var.build_region))
    error_message = "build_region must look like europe-west1."
  }
}

variable "registry_mirror" {
  type        = string
  description = "Registry and path that mirror Docker Hub, such as mirror.gcr.io; null: Docker Hub itself."
  default     = null
  validation {
    condition     = var.registry_mirror == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+[a-z0-9])?$", var.registry_mirror))
    error_message = "registry_mirror must look like mirror.gcr.io or europe-west1-docker.pkg.dev/my-project/docker-hub."
  }
}

variable "keep_releases" {
  type        = number
  description = "Number of newest releases whose images are kept, for roll-backs."
  default     = 10
  validation {
    condition     = var.keep_releases >= 2 && var.keep_releases <= 300 && floor(var.keep_releases) == var.keep_releases
    error_message = "keep_releases must be a whole number from 2 (current and previous image) to 300."
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
  default     = 4
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "annotate_max_instances" {
  type        = number
  description = "Maximum instances of the bucket trigger."
  default     = 2
  validation {
    condition     = var.annotate_max_instances >= 1 && var.annotate_max_instances <= 1000 && floor(var.annotate_max_instances) == var.annotate_max_instances
    error_message = "annotate_max_instances must be a whole number from 1 to 1000."
  }
}

variable "backfill_shards" {
  type        = number
  description = "Number of parallel tasks of a back-fill, of one CPU each."
  default     = 4
  validation {
    condition     = var.backfill_shards >= 1 && var.backfill_shards <= 1000 && floor(var.backfill_shards) == var.backfill_shards
    error_message = "backfill_shards must be a whole number from 1 to 1000."
  }
}

variable "cpu_quota" {
  type        = number
  description = "vCPUs that Cloud Run may use in the region. New projects have 20; a fifth should stay free for revisions that replace others."
  default     = 20
  validation {
    condition     = var.cpu_quota >= local.cpu
    error_message = "All instances together need ${local.cpu} vCPU, more than cpu_quota: lower max_instances, gpu_max_instances, annotate_max_instances or backfill_shards, or have the quota raised and set cpu_quota."
  }
}

variable "memory_quota_gib" {
  type        = number
  description = "GiB of memory that Cloud Run may use in the region; new projects have 40."
  default     = 40
  validation {
    condition     = var.memory_quota_gib >= local.memory_gib
    error_message = "All instances together need ${local.memory_gib} GiB, more than memory_quota_gib: lower max_instances, gpu_max_instances, annotate_max_instances or backfill_shards, or have the quota raised and set memory_quota_gib."
  }
}

variable "public" {
  type        = bool
  description = "Whether everyone may try the password or a key of predict; false: only invokers."
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
  description = "Password of predict; null: generated. Neither plan nor state contains it."
  default     = null
  sensitive   = true
  ephemeral   = true
  validation {
    condition     = var.password == null || length(coalesce(var.password, "-")) >= 12
    error_message = "password must have at least 12 characters."
  }
}

variable "password_version" {
  type        = number
  description = "Increase it to replace the password by a newly generated one, or by password."
  default     = 1
  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version must be a whole number of at least 1."
  }
}

variable "secret_locations" {
  type        = list(string)
  description = "Regions that store the password, where an organisation's gcp.resourceLocations forbids the default, which is everywhere. Changing them replaces the secret."
  default     = []
  validation {
    condition     = alltrue([for l in var.secret_locations : can(regex("^[a-z]+-[a-z]+[0-9]+$", l))])
    error_message = "each of secret_locations must look like europe-west1."
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

variable "auth" {
  type        = string
  description = "What predict itself checks: basic (user name and password), keys (those in auth_keys_secret) or iam (nothing: Cloud Run lets only invokers through)."
  default     = "basic"
  validation {
    condition     = contains(["basic", "keys", "iam"], var.auth) && (var.auth != "iam" || !var.public)
    error_message = "auth must be basic, keys or iam; iam needs public = false."
  }
}

variable "auth_keys_secret" {
  type        = string
  description = "Existing secret with the keys of predict's callers, for auth = \"keys\". Keep it until no revision that reads it has traffic."
  default     = null
  validation {
    condition     = var.auth_keys_secret == null || can(regex("^[A-Za-z0-9_-]{1,255}$", var.auth_keys_secret))
    error_message = "auth_keys_secret must be a secret's name, not its path."
  }
  validation {
    condition     = var.auth != "keys" || var.auth_keys_secret != null
    error_message = "auth = \"keys\" needs auth_keys_secret."
  }
}

variable "cors_origins" {
  type        = list(string)
  description = "Origins whose pages may call predict from a browser, such as https://app.example.com; * for all."
  default     = []
  validation {
    condition     = alltrue([for o in var.cors_origins : o == "*" || can(regex("^https?://[^/ ,]+$", o))])
    error_message = "each of cors_origins must look like https://app.example.com, without a path, or be *."
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

variable "bucket_location" {
  type        = string
  description = "Location of the buckets: a region, EU, US or ASIA, or a pair of regions such as EUR4. null: region."
  default     = null
  validation {
    condition     = var.bucket_location == null || can(regex("^([a-z]+-[a-z]+[0-9]+|(?i:EU|US|ASIA|ASIA1|EUR[4578]|NAM4))$", var.bucket_location))
    error_message = "bucket_location must look like europe-west1, or be EU, US, ASIA, ASIA1, EUR4, EUR5, EUR7, EUR8 or NAM4."
  }
}

variable "input_days" {
  type        = number
  description = "Days after which pictures are deleted, and soft_delete_days later erased; null: never."
  default     = null
  validation {
    condition     = var.input_days == null || try(var.input_days >= 1 && floor(var.input_days) == var.input_days, false)
    error_message = "input_days must be a whole number of at least 1, or null."
  }
}

variable "soft_delete_days" {
  type        = number
  description = "Days for which deleted pictures and results can be restored; only then are they erased. 0: deleting erases at once."
  default     = 7
  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "soft_delete_days must be 0 or from 7 to 90."
  }
}

variable "force_destroy" {
  type        = bool
  description = "Whether terraform destroy deletes buckets that are not empty."
  default     = false
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

variable "gpu" {
  type        = bool
  description = "Whether to have a second predict, with an L4 GPU, on Cloud Run. Experimental: not measured on a GPU yet."
  default     = false
}

variable "gpu_max_instances" {
  type        = number
  description = "Maximum instances of the predict with a GPU. Each takes 4 vCPU, 16 GiB and a GPU."
  default     = 1
  validation {
    condition     = var.gpu_max_instances >= 1 && var.gpu_max_instances <= 100 && floor(var.gpu_max_instances) == var.gpu_max_instances
    error_message = "gpu_max_instances must be a whole number from 1 to 100."
  }
}

variable "gke_gpu" {
  type        = bool
  description = "Whether to create a GPU cluster in addition to Cloud Run; set gpu_quota, too."
  default     = false
}

variable "gpu_quota" {
  type        = number
  description = "L4 GPUs that the project may use in region, as the output gpu_quota lists them. New projects have 0."
  default     = 0
  validation {
    condition     = !var.gke_gpu || var.gpu_quota >= 1
    error_message = "gke_gpu needs gpu_quota: have the quotas NVIDIA_L4_GPUS (of the region) and GPUS_ALL_REGIONS raised first, and set it to what was granted."
  }
}

variable "vpc_egress" {
  type        = bool
  description = "Whether all connections of the services go through a network whose firewall denies addresses inside. Costs Cloud NAT."
  default     = false
}

variable "domain" {
  type        = string
  description = "Name such as faces.example.com: puts a load balancer with TLS and Cloud Armor in front of predict. null: Cloud Run's own address."
  default     = null
  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain))
    error_message = "domain must look like faces.example.com."
  }
}

variable "requests_per_minute" {
  type        = number
  description = "Requests per minute that each address may send, with domain."
  default     = 600
  validation {
    condition     = var.requests_per_minute >= 1 && var.requests_per_minute <= 10000 && floor(var.requests_per_minute) == var.requests_per_minute
    error_message = "requests_per_minute must be a whole number from 1 to 10000."
  }
}

variable "allowed_ranges" {
  type        = list(string)
  description = "Ranges of addresses that may come, with domain; empty: all."
  default     = []
  validation {
    condition     = length(var.allowed_ranges) <= 5 && alltrue([for r in var.allowed_ranges : can(cidrhost(r, 0))])
    error_message = "allowed_ranges must be at most 5 ranges such as 203.0.113.0/24."
  }
}

variable "iap_members" {
  type        = list(string)
  description = "IAM members that may come, through Identity-Aware Proxy, with domain; empty: no such check."
  default     = []
  validation {
    condition     = alltrue([for m in var.iap_members : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", m))]) && (length(var.iap_members) == 0 || var.domain != null)
    error_message = "each of iap_members must be an IAM member such as user:somebody@example.com, and they need domain."
  }
}

variable "kms_key" {
  type        = string
  description = "Existing Cloud KMS key, in region, that encrypts buckets, messages, images, containers, tables, a cluster's disks and secrets, and the password; null: Google's own. Changing it replaces the secret, the repository and a cluster's machines."
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must look like projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete services, job and cluster. Set it for what others use."
  default     = false
}

variable "labels" {
  type        = map(string)
  description = "Labels for all resources that support them, in addition to app."
  default     = {}
  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels must be at most 63 lower-case letters, digits, hyphens and underscores; names start with a letter."
  }
}
