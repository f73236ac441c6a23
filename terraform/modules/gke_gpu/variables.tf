variable "project_id" {
  type        = string
  description = "Project that the cluster belongs to."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the cluster; one that has the GPU, such as europe-west1 for an L4."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "zones" {
  type        = list(string)
  description = "Zones of the machines in mode standard: those of the region that have the GPU; null leaves it to Google."
  default     = null
  validation {
    condition     = var.zones == null || try(alltrue([for z in var.zones : can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", z))]), false)
    error_message = "each of zones must look like europe-west1-b."
  }
}

variable "name" {
  type        = string
  description = "Name of the cluster and of the workload; identities are named after it."
  default     = "age-gender-gpu"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,23}[a-z0-9]$", var.name))
    error_message = "name must be 6 to 25 lower-case letters, digits and hyphens and begin with a letter (a service account's name has 30)."
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
  description = "Image of the target gpu, best by digest: HOST/PROJECT/REPOSITORY/NAME@sha256:…."
  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image must be a full image name, with a tag or, better, a digest."
  }
}

variable "repository" {
  type        = string
  description = "Artifact Registry repository that the image is in; the nodes get to read it."
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
  description = "autopilot: Google runs the machines, paid by pod. standard: a pool of GPU machines that shrinks to none, paid by machine."
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
  description = "Machine of the GPU pool in mode standard."
  default     = "g2-standard-8"
  validation {
    condition     = can(regex("^[a-z][0-9a-z]*-[a-z]+-[0-9]+g?$", var.machine_type))
    error_message = "machine_type must look like g2-standard-8."
  }
}

variable "spot" {
  type        = bool
  description = "Whether the GPU pool of mode standard takes machines that are cheaper and may go at any time."
  default     = false
}

variable "cpu" {
  type        = number
  description = "CPUs of a pod; decoding keeps several busy for one GPU."
  default     = 4
  validation {
    condition     = var.cpu >= 2 && var.cpu <= 96 && floor(var.cpu) == var.cpu
    error_message = "cpu must be a whole number from 2 to 96."
  }
}

variable "memory" {
  type        = string
  description = "Memory of a pod."
  default     = "12Gi"
  validation {
    condition     = can(regex("^([4-9]|[1-9][0-9]+)Gi$", var.memory))
    error_message = "memory must be at least 4Gi, written like 12Gi."
  }
}

variable "concurrency" {
  type        = number
  description = "Requests that a pod takes at a time; threads and queue are sized to it."
  default     = 64
  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 250 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency must be a whole number from 1 to 250."
  }
}

variable "min_replicas" {
  type        = number
  description = "Fewest pods. (None is not for an autoscaler by CPU: scale the deployment to 0 by hand, and the machines go.)"
  default     = 1
  validation {
    condition     = var.min_replicas >= 1 && floor(var.min_replicas) == var.min_replicas
    error_message = "min_replicas must be a whole number of at least 1."
  }
}

variable "max_replicas" {
  type        = number
  description = "Most pods, and most GPU machines."
  default     = 3
  validation {
    condition     = var.max_replicas >= 1 && floor(var.max_replicas) == var.max_replicas
    error_message = "max_replicas must be a whole number of at least 1."
  }
  validation {
    condition     = var.max_replicas >= var.min_replicas
    error_message = "max_replicas must not be below min_replicas."
  }
}

variable "load_balancer" {
  type        = string
  description = "internal: an address within the network. none: only within the cluster, for a gateway with TLS of your own. (Passwords over plain HTTP are not for the internet.)"
  default     = "internal"
  validation {
    condition     = contains(["internal", "none"], var.load_balancer)
    error_message = "load_balancer must be internal or none."
  }
}

variable "network" {
  type        = string
  description = "VPC network of the cluster. Its nodes have no outside addresses: what is fetched from URLs needs Cloud NAT there."
  default     = "default"
  validation {
    condition     = can(regex("^(projects/[a-z0-9-]+/global/networks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.network))
    error_message = "network must be a network's name or its path projects/…/global/networks/…."
  }
}

variable "subnetwork" {
  type        = string
  description = "Subnetwork of the cluster; null takes the region's."
  default     = null
  validation {
    condition     = var.subnetwork == null || can(regex("^(projects/[a-z0-9-]+/regions/[a-z0-9-]+/subnetworks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.subnetwork))
    error_message = "subnetwork must be a subnetwork's name or its path projects/…/regions/…/subnetworks/…."
  }
}

variable "username" {
  type        = string
  description = "User name of Basic authentication; the password is in the Kubernetes secret basic-auth."
  default     = "sugar"
  validation {
    condition     = can(regex("^[^:[:cntrl:]]+$", var.username))
    error_message = "username must not be empty nor contain a colon."
  }
}

variable "password_secret" {
  type        = string
  description = "Secret in Secret Manager whose latest version the output apply_command copies into the cluster."
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.password_secret))
    error_message = "password_secret must be a secret's plain name, not its path."
  }
}

variable "picture_buckets" {
  type        = list(string)
  description = "Buckets whose objects requests may name as gs://…; pods get to read them."
  default     = []
  validation {
    condition     = alltrue([for b in var.picture_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", b))])
    error_message = "each of picture_buckets must be a bucket's plain name."
  }
}

variable "settings" {
  type        = map(string)
  description = "Further settings of the service, by their names in the environment."
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "names in settings are written in capitals, such as MAX_PIXELS."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["BASIC_AUTH_PASSWORD", "BASIC_AUTH_USERNAME", "ENGINE", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "GCS_BUCKETS", "GPU", "GPU_FRACTION", "MAX_QUEUE", "PORT", "REQUIRE_STRONG_AUTH", "THREADS"])) == 0
    error_message = "settings must not hold what the module itself sets: a pod's variable that is there twice is an error."
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
    error_message = "labels are lower-case letters, digits, hyphens and underscores, at most 63; names begin with a letter."
  }
}
