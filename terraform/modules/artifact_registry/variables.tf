variable "project_id" {
  type        = string
  description = "Project of the repository."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the repository. Use that of the services: pulls from elsewhere cost money and time."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "name" {
  type        = string
  description = "Name of the repository."
  default     = "age-gender"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 63 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "immutable_tags" {
  type        = bool
  description = "Whether tags are immutable. cloudbuild.yaml replaces the build cache and needs false."
  default     = false
}

variable "vulnerability_scanning" {
  type        = bool
  description = "Whether to scan images as configured in the project (the Container Scanning API costs per image)."
  default     = true
}

variable "keep_releases" {
  type        = number
  description = "Number of newest releases per name to keep, for roll-backs."
  default     = 10
  validation {
    condition     = var.keep_releases >= 2 && var.keep_releases <= 300 && floor(var.keep_releases) == var.keep_releases
    error_message = "keep_releases must be a whole number from 2 (current and previous image) to 300."
  }
}

variable "delete_after_days" {
  type        = number
  description = "Age in days at which other images are deleted."
  default     = 30
  validation {
    condition     = var.delete_after_days >= 1 && floor(var.delete_after_days) == var.delete_after_days
    error_message = "delete_after_days must be a whole number of at least 1."
  }
}

variable "writers" {
  type        = list(string)
  description = "IAM members that may push, such as serviceAccount:… of the build."
  default     = []
  validation {
    condition     = alltrue([for w in var.writers : can(regex("^(user|group|serviceAccount|principal|principalSet):", w))])
    error_message = "each of writers must be an IAM member such as serviceAccount:build@….iam.gserviceaccount.com."
  }
}

variable "kms_key" {
  type        = string
  description = "Cloud KMS key, in region, that encrypts the images; the agent of Artifact Registry must be allowed to use it, see the module project. null: Google's own. Changing it replaces the repository."
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must look like projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
}

variable "labels" {
  type        = map(string)
  description = "Labels of the repository."
  default     = {}
  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels must be at most 63 lower-case letters, digits, hyphens and underscores; names start with a letter."
  }
}
