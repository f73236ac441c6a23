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
  default     = 4
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "cpu_quota" {
  type        = number
  description = "vCPUs that Cloud Run may use in the region; new projects have 20."
  default     = 20
  validation {
    condition     = var.cpu_quota >= 1
    error_message = "cpu_quota must be at least 1."
  }
}

variable "memory_quota_gib" {
  type        = number
  description = "GiB of memory that Cloud Run may use in the region; new projects have 40."
  default     = 40
  validation {
    condition     = var.memory_quota_gib >= 1
    error_message = "memory_quota_gib must be at least 1."
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
  description = "Password for Basic authentication; null: generated. Neither plan nor state contains it."
  default     = null
  sensitive   = true
  ephemeral   = true
  validation {
    condition     = var.password == null || (length(coalesce(var.password, "-")) >= 12 && var.password != "kubes")
    error_message = "password must have at least 12 characters."
  }
}

variable "password_version" {
  type        = number
  description = "Increase it to replace the password by a newly generated one, or by password. Nothing else does."
  default     = 1
  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version must be a whole number of at least 1."
  }
}

variable "password_secret" {
  type        = string
  description = "Existing Secret Manager secret that is the password, instead of password."
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

variable "password_secret_version" {
  type        = string
  description = "Version of password_secret; with a number, another one makes a new revision. latest: read whenever an instance starts."
  default     = "latest"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,63}$", var.password_secret_version))
    error_message = "password_secret_version must be latest, a number or an alias."
  }
}

variable "auth" {
  type        = string
  description = "What the service itself checks: basic (user name and password), keys (those in auth_keys_secret) or iam (nothing: Cloud Run lets only invokers through)."
  default     = "basic"
  validation {
    condition     = contains(["basic", "keys", "iam"], var.auth)
    error_message = "auth must be basic, keys or iam."
  }
  validation {
    condition     = var.auth != "iam" || !var.public
    error_message = "auth = \"iam\" needs public = false, or no one would be checked."
  }
}

variable "auth_keys_secret" {
  type        = string
  description = "Existing Secret Manager secret whose latest version lists the keys, for auth = \"keys\": name=key, by commas or lines. Keep it until no revision that reads it has traffic."
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
  description = "Origins whose pages may call from a browser, such as https://app.example.com; * for all."
  default     = []
  validation {
    condition     = alltrue([for o in var.cors_origins : o == "*" || can(regex("^https?://([[][0-9a-f:.]+[]]|[a-z0-9._-]+)(:[0-9]{1,5})?$", o))])
    error_message = "each of cors_origins must look like https://app.example.com, without a path, or be *."
  }
}

variable "secret_locations" {
  type        = list(string)
  description = "Regions that store the password, where gcp.resourceLocations forbids the default, which is everywhere. Changing them replaces the secret, and with it a generated password."
  default     = []
  validation {
    condition     = alltrue([for l in var.secret_locations : can(regex("^[a-z]+-[a-z]+[0-9]+$", l))])
    error_message = "each of secret_locations must look like europe-west1."
  }
}

variable "public" {
  type        = bool
  description = "Whether everyone may try the password or a key. false: only invokers, who need it, too, unless auth is iam. An organisation with run.managed.requireInvokerIam allows only false."
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

variable "invoker_agents" {
  type        = map(string)
  description = "Further invokers, by any name, whose IAM members may be known only after an apply, such as Google's agent of Identity-Aware Proxy."
  default     = {}
  validation {
    condition     = alltrue([for member in values(var.invoker_agents) : startswith(member, "serviceAccount:")])
    error_message = "each of invoker_agents must be an IAM member serviceAccount:…."
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

variable "kms_key" {
  type        = string
  description = "Cloud KMS key, in region, that encrypts the password and the containers; the agents must be allowed to use it, see the module project. null: Google's own."
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must look like projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3], "") == var.region && length(setsubtract(var.secret_locations, [var.region])) == 0
    error_message = "kms_key must be in region, and so must secret_locations."
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
  description = "Additional environment variables of the service, such as LOG = \"debug\"."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings must be upper case, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["AUTH", "AUTH_KEYS", "BASIC_AUTH_PASSWORD", "BASIC_AUTH_USERNAME", "CORS_ORIGINS", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "PORT", "PUBLIC_ACCESS", "REQUIRE_STRONG_AUTH", "THREADS"])) == 0
    error_message = "settings must not repeat what the module sets; access has variables, Cloud Run sets PORT."
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
