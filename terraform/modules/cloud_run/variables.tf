variable "project_id" {
  type        = string
  description = "Project that the service belongs to."
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
  description = "Name of the service; its identity and secret are named after it."
  default     = "age-gender-predict"
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

variable "cpu" {
  type        = number
  description = "CPUs of an instance. Two networks use all of them for one picture; 2 halve the time of 1."
  default     = 2
  validation {
    condition     = contains([1, 2, 4, 6, 8], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8."
  }
}

variable "memory" {
  type        = string
  description = "Memory of an instance. Below 1Gi pictures may have 12 megapixels, from there on 50."
  default     = "1Gi"
  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory)) && try(tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1), 0) >= 512
    error_message = "memory must be at least 512Mi, written like 512Mi or 2Gi."
  }
}

variable "concurrency" {
  type        = number
  description = "Requests that Cloud Run sends to an instance at a time; the framework's threads and the service's queue are sized to it. null means 8 for each CPU, which keep it busy while others wait for uploads."
  default     = null
  validation {
    condition     = var.concurrency == null || try(var.concurrency >= 1 && var.concurrency <= 250 && floor(var.concurrency) == var.concurrency, false)
    error_message = "concurrency must be a whole number from 1 to 250."
  }
}

variable "min_instances" {
  type        = number
  description = "Instances kept ready. 0 costs nothing when idle, 1 spares the first caller the cold start."
  default     = 0
  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances must be a whole number of at least 0."
  }
}

variable "max_instances" {
  type        = number
  description = "Most instances: the limit of what a flood of requests can cost."
  default     = 10
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "timeout_seconds" {
  type        = number
  description = "Longest a request may take, waiting for its turn and fetching its URL included."
  default     = 60
  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 3600
    error_message = "timeout_seconds must be from 1 to 3600."
  }
}

variable "username" {
  type        = string
  description = "User name of Basic authentication."
  default     = "sugar"
  validation {
    condition     = can(regex("^[^:[:cntrl:]]+$", var.username))
    error_message = "username must not be empty nor contain a colon."
  }
}

variable "password" {
  type        = string
  description = "Password of Basic authentication; null generates one. Either way it stands in Terraform's state: keep that private, or use password_secret."
  default     = null
  sensitive   = true
  validation {
    condition     = var.password == null || (length(coalesce(var.password, "-")) >= 12 && var.password != "kubes")
    error_message = "password must have at least 12 characters."
  }
}

variable "password_secret" {
  type        = string
  description = "Name of a secret in Secret Manager, made elsewhere, whose latest version is the password. Terraform then never sees it."
  default     = null
  validation {
    condition     = var.password_secret == null || can(regex("^[A-Za-z0-9_-]{1,255}$", var.password_secret))
    error_message = "password_secret must be a secret's plain name, not its path."
  }
  validation {
    condition     = var.password_secret == null || var.password == null
    error_message = "Give password or password_secret, not both."
  }
}

variable "public" {
  type        = bool
  description = "Whether everyone may try the password. With false only invokers get that far, and they need the password too."
  default     = true
}

variable "invokers" {
  type        = list(string)
  description = "Who may call a service that is not public, such as user:… or serviceAccount:…."
  default     = []
  validation {
    condition     = alltrue([for i in var.invokers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", i))])
    error_message = "each of invokers must be an IAM member such as user:somebody@example.com; allUsers is what public is for."
  }
}

variable "ingress" {
  type        = string
  description = "Where requests may come from."
  default     = "INGRESS_TRAFFIC_ALL"
  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress)
    error_message = "ingress must be INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "gpu" {
  type        = bool
  description = "Whether instances have an L4 GPU; image must then be one of the target gpu, with 4 CPUs and 16Gi or more."
  default     = false
}

variable "picture_buckets" {
  type        = list(string)
  description = "Buckets whose objects requests may name as gs://…; the service gets to read them."
  default     = []
  validation {
    condition     = alltrue([for b in var.picture_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", b))])
    error_message = "each of picture_buckets must be a bucket's plain name."
  }
}

variable "settings" {
  type        = map(string)
  description = "Further settings of the service, by their names in the environment, such as LOG = \"debug\"."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings are written in capitals, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["BASIC_AUTH_PASSWORD", "BASIC_AUTH_USERNAME", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "PORT", "REQUIRE_STRONG_AUTH", "THREADS"])) == 0
    error_message = "settings must not hold what the module itself sets: password and user name have variables, PORT is Cloud Run's."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete the service."
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
