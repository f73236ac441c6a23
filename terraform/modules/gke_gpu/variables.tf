variable "project_id" {
  type        = string
  description = "Project of the cluster."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the cluster. It must offer the GPU, such as europe-west1 for an L4."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "zones" {
  type        = list(string)
  description = "Zones of the machines in standard mode; they must offer the GPU. null: Google chooses."
  default     = null
  validation {
    condition     = var.zones == null || try(alltrue([for z in var.zones : can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", z))]), false)
    error_message = "each of zones must look like europe-west1-b."
  }
}

variable "name" {
  type        = string
  description = "Name of the cluster and the workload, and prefix of the identities."
  default     = "age-gender-gpu"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,23}[a-z0-9]$", var.name))
    error_message = "name must be 6 to 25 lower-case letters, digits and hyphens, starting with a letter (service account names have at most 30)."
  }
}

variable "namespace" {
  type        = string
  description = "Kubernetes namespace of the workload."
  default     = "age-gender"
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be at most 63 lower-case letters, digits and hyphens."
  }
}

variable "image" {
  type        = string
  description = "Image of the target gpu, preferably by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:…."
  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image must be a full image name with a tag or, preferably, a digest."
  }
}

variable "repository" {
  type        = string
  description = "Artifact Registry repository of the image; the nodes are allowed to read it."
  default     = "age-gender"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.repository))
    error_message = "repository must be the plain name of a repository."
  }
}

variable "repository_location" {
  type        = string
  description = "Location of that repository."
  validation {
    condition     = can(regex("^([a-z]+-[a-z]+[0-9]+|europe|us|asia)$", var.repository_location))
    error_message = "repository_location must look like europe-west1, or be europe, us or asia."
  }
}

variable "mode" {
  type        = string
  description = "autopilot: Google manages the machines, billed per pod. standard: a pool of GPU machines that scales to zero, billed per machine."
  default     = "autopilot"
  validation {
    condition     = contains(["autopilot", "standard"], var.mode)
    error_message = "mode must be autopilot or standard."
  }
}

variable "gpu_type" {
  type        = string
  description = "GPU of each pod."
  default     = "nvidia-l4"
  validation {
    condition     = contains(["nvidia-l4", "nvidia-tesla-t4", "nvidia-tesla-a100", "nvidia-h100-80gb"], var.gpu_type)
    error_message = "gpu_type must be nvidia-l4, nvidia-tesla-t4, nvidia-tesla-a100 or nvidia-h100-80gb."
  }
}

variable "machine_type" {
  type        = string
  description = "Machine type of the GPU pool in standard mode."
  default     = "g2-standard-8"
  validation {
    condition     = can(regex("^[a-z][0-9a-z]*-[a-z]+-[0-9]+g?$", var.machine_type))
    error_message = "machine_type must look like g2-standard-8."
  }
}

variable "spot" {
  type        = bool
  description = "Whether the GPU pool in standard mode uses spot machines, which are cheaper but can be reclaimed."
  default     = false
}

variable "cpu" {
  type        = number
  description = "CPUs per pod; decoding for one GPU keeps several busy."
  default     = 4
  validation {
    condition     = var.cpu >= 2 && var.cpu <= 96 && floor(var.cpu) == var.cpu
    error_message = "cpu must be a whole number from 2 to 96."
  }
}

variable "memory" {
  type        = string
  description = "Memory per pod."
  default     = "12Gi"
  validation {
    condition     = can(regex("^([4-9]|[1-9][0-9]+)Gi$", var.memory))
    error_message = "memory must be at least 4Gi, in the form 12Gi."
  }
}

variable "concurrency" {
  type        = number
  description = "Concurrent requests per pod; threads and queue are sized accordingly."
  default     = 64
  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 250 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency must be a whole number from 1 to 250."
  }
}

variable "min_replicas" {
  type        = number
  description = "Minimum number of pods. A CPU autoscaler cannot reach 0: scale the deployment to 0 by hand to remove the machines."
  default     = 1
  validation {
    condition     = var.min_replicas >= 1 && floor(var.min_replicas) == var.min_replicas
    error_message = "min_replicas must be a whole number of at least 1."
  }
}

variable "max_replicas" {
  type        = number
  description = "Maximum number of pods and GPU machines."
  default     = 3
  validation {
    condition     = var.max_replicas >= 1 && floor(var.max_replicas) == var.max_replicas
    error_message = "max_replicas must be a whole number of at least 1."
  }
  validation {
    condition     = var.max_replicas >= var.min_replicas
    error_message = "max_replicas must be at least min_replicas."
  }
}

variable "gpu_quota" {
  type        = number
  description = "GPUs of gpu_type that the project may use in region, as the output quota_command shows. New projects have 0 (also of GPUS_ALL_REGIONS), and pods would wait for ever."
  validation {
    condition     = var.gpu_quota >= var.max_replicas
    error_message = "gpu_quota must be at least max_replicas: have the quota raised first, of the GPU in the region and of GPUS_ALL_REGIONS."
  }
}

variable "load_balancer" {
  type        = string
  description = "internal: an address in the network. none: only in the cluster, behind your own TLS gateway. There is no public option, because the password would travel over plain HTTP."
  default     = "internal"
  validation {
    condition     = contains(["internal", "none"], var.load_balancer)
    error_message = "load_balancer must be internal or none."
  }
}

variable "network" {
  type        = string
  description = "VPC network of the cluster, such as the module network makes. Nodes have no public addresses, so fetching URLs needs Cloud NAT."
  validation {
    condition     = can(regex("^(projects/[a-z0-9-]+/global/networks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.network))
    error_message = "network must be a network's name or its path projects/…/global/networks/…."
  }
}

variable "subnetwork" {
  type        = string
  description = "Subnetwork of the cluster; null: the region's default."
  default     = null
  validation {
    condition     = var.subnetwork == null || can(regex("^(projects/[a-z0-9-]+/regions/[a-z0-9-]+/subnetworks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.subnetwork))
    error_message = "subnetwork must be a subnetwork's name or its path projects/…/regions/…/subnetworks/…."
  }
}

variable "auth" {
  type        = string
  description = "What pods check: basic (user name and password) or keys (those in auth_keys_secret). There is no iam: no one checks callers before them."
  default     = "basic"
  validation {
    condition     = contains(["basic", "keys"], var.auth)
    error_message = "auth must be basic or keys."
  }
}

variable "auth_keys_secret" {
  type        = string
  description = "Secret Manager secret whose latest version lists the keys, for auth = \"keys\"; the output apply_command copies it into the cluster."
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

variable "username" {
  type        = string
  description = "User name for Basic authentication; the password is in the Kubernetes secret basic-auth."
  default     = "sugar"
  validation {
    condition     = can(regex("^[^:[:cntrl:]]+$", var.username))
    error_message = "username must not be empty or contain a colon."
  }
}

variable "password_secret" {
  type        = string
  description = "Secret Manager secret whose latest version is the password; the output apply_command copies it into the cluster."
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.password_secret))
    error_message = "password_secret must be a secret's name, not its path."
  }
}

variable "kms_key" {
  type        = string
  description = "Cloud KMS key, in region, that encrypts the nodes' disks and Kubernetes' secrets; the agents of compute and container must be allowed to use it, see the module project. null: Google's own."
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must look like projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3], "") == var.region
    error_message = "kms_key must be in region."
  }
}

variable "picture_buckets" {
  type        = list(string)
  description = "Buckets that requests may use as gs://…; pods are allowed to read them."
  default     = []
  validation {
    condition     = alltrue([for b in var.picture_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", b))])
    error_message = "each of picture_buckets must be a bucket name."
  }
}

variable "settings" {
  type        = map(string)
  description = "Additional environment variables of the service."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings must be upper case, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["AUTH", "AUTH_KEYS", "BASIC_AUTH_PASSWORD", "BASIC_AUTH_USERNAME", "ENGINE", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "GCS_BUCKETS", "GPU", "GPU_FRACTION", "GPU_REQUIRED", "MAX_QUEUE", "PORT", "REQUIRE_STRONG_AUTH", "THREADS"])) == 0
    error_message = "settings must not repeat what the module sets: duplicate variables of a pod are an error."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete the cluster."
  default     = true
}

variable "labels" {
  type        = map(string)
  description = "Labels of the cluster."
  default     = { app = "age-gender" }
  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels must be at most 63 lower-case letters, digits, hyphens and underscores; names start with a letter."
  }
}
