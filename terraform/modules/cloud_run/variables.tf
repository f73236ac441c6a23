variable "project_id" {
  type        = string
  description = "Project of the service."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the service, such as europe-west1."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "name" {
  type        = string
  description = "Name of the service, and prefix of its identity and secret."
  default     = "age-gender-predict"
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

variable "cpu" {
  type        = number
  description = "CPUs per instance. A single picture uses all of them; 2 halve the time of 1."
  default     = 2
  validation {
    condition     = contains([1, 2, 4, 6, 8], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8."
  }
}

variable "memory" {
  type        = string
  description = "Memory per instance. Below 1Gi pictures are limited to 12 megapixels, otherwise to 50."
  default     = "1Gi"
  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory)) && try(tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1), 0) >= 512
    error_message = "memory must be at least 512Mi, in the form 512Mi or 2Gi."
  }
}

variable "concurrency" {
  type        = number
  description = "Concurrent requests per instance; threads and queue are sized accordingly. null: 8 per CPU, which keeps it busy while others upload."
  default     = null
  validation {
    condition     = var.concurrency == null || try(var.concurrency >= 1 && var.concurrency <= 250 && floor(var.concurrency) == var.concurrency, false)
    error_message = "concurrency must be a whole number from 1 to 250."
  }
}

variable "min_instances" {
  type        = number
  description = "Minimum number of instances. 0 costs nothing when idle; 1 avoids the cold start."
  default     = 0
  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances must be a whole number of at least 0."
  }
}

variable "max_instances" {
  type        = number
  description = "Maximum number of instances, which caps what a flood of requests can cost."
  default     = 10
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "timeout_seconds" {
  type        = number
  description = "Maximum seconds per request, including waiting and fetching its URL."
  default     = 60
  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 3600
    error_message = "timeout_seconds must be from 1 to 3600."
  }
}

variable "username" {
  type        = string
  description = "User name for Basic authentication."
  default     = "sugar"
  validation {
    condition     = can(regex("^[^:[:cntrl:]]+$", var.username))
    error_message = "username must not be empty or contain a colon."
  }
}

variable "password" {
  type        = string
  description = "Password for Basic authentication; null: generated. Either way it is in Terraform's state: keep that private, or use password_secret."
  default     = null
  sensitive   = true
  validation {
    condition     = var.password == null || (length(coalesce(var.password, "-")) >= 12 && var.password != "kubes")
    error_message = "password must have at least 12 characters."
  }
}

variable "password_secret" {
  type        = string
  description = "Existing Secret Manager secret whose latest version is the password. Terraform never sees it."
  default     = null
  validation {
    condition     = var.password_secret == null || can(regex("^[A-Za-z0-9_-]{1,255}$", var.password_secret))
    error_message = "password_secret must be a secret's name, not its path."
  }
  validation {
    condition     = var.password_secret == null || var.password == null
    error_message = "Give password or password_secret, not both."
  }
}

variable "public" {
  type        = bool
  description = "Whether everyone may try the password. false: only invokers, who also need the password."
  default     = true
}

variable "invokers" {
  type        = list(string)
  description = "IAM members that may call a private service, such as user:… or serviceAccount:…."
  default     = []
  validation {
    condition     = alltrue([for i in var.invokers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", i))])
    error_message = "each of invokers must be an IAM member such as user:somebody@example.com; for allUsers set public."
  }
}

variable "ingress" {
  type        = string
  description = "Permitted sources of requests."
  default     = "INGRESS_TRAFFIC_ALL"
  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress)
    error_message = "ingress must be INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "gpu" {
  type        = bool
  description = "Whether instances have an L4 GPU; needs an image of the target gpu, and at least 4 CPUs and 16Gi."
  default     = false
}

variable "picture_buckets" {
  type        = list(string)
  description = "Buckets that requests may use as gs://…; the service is allowed to read them."
  default     = []
  validation {
    condition     = alltrue([for b in var.picture_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", b))])
    error_message = "each of picture_buckets must be a bucket name."
  }
}

variable "settings" {
  type        = map(string)
  description = "Additional environment variables of the service, such as LOG = \"debug\"."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings must be upper case, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["BASIC_AUTH_PASSWORD", "BASIC_AUTH_USERNAME", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "PORT", "REQUIRE_STRONG_AUTH", "THREADS"])) == 0
    error_message = "settings must not repeat what the module sets; password and user name have variables, Cloud Run sets PORT."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete the service."
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
