variable "project_id" {
  type        = string
  description = "Project whose APIs are enabled."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "services" {
  type        = list(string)
  description = "APIs to enable, such as run.googleapis.com."
  validation {
    condition     = alltrue([for s in var.services : endswith(s, ".googleapis.com")])
    error_message = "each of services must be the name of an API, such as run.googleapis.com."
  }
  validation {
    condition     = length(setsubtract(["cloudresourcemanager.googleapis.com", "storage.googleapis.com"], var.services)) == 0
    error_message = "services must include cloudresourcemanager.googleapis.com and storage.googleapis.com, which this module itself uses."
  }
}

variable "agents" {
  type        = list(string)
  description = "APIs of services whose agents are created and given in the output agents. That of Cloud Storage always is."
  default     = []
  validation {
    condition     = length(setsubtract(var.agents, var.services)) == 0
    error_message = "each of agents must be among services."
  }
}

variable "kms_key" {
  type        = string
  description = "Cloud KMS key that the agents may use; null: Google's own keys encrypt."
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must look like projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
}
