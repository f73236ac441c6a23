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
  description = "Whether tags are immutable. cloudbuild.yaml moves the tag buildcache and needs false."
  default     = false
}

variable "vulnerability_scanning" {
  type        = bool
  description = "Whether to scan images as configured in the project (the Container Scanning API costs per image)."
  default     = true
}

variable "keep_versions" {
  type        = number
  description = "Number of newest images per name to keep, for roll-backs."
  default     = 10
  validation {
    condition     = var.keep_versions >= 2 && var.keep_versions <= 1000 && floor(var.keep_versions) == var.keep_versions
    error_message = "keep_versions must be a whole number from 2 (current and previous image) to 1000."
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

variable "labels" {
  type        = map(string)
  description = "Labels of the repository."
  default     = {}
  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels must be at most 63 lower-case letters, digits, hyphens and underscores; names start with a letter."
  }
}
