variable "project_id" {
  type        = string
  description = "Project of the network."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the subnetwork: that of the services."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "name" {
  type        = string
  description = "Name of network, subnetwork, router and NAT."
  default     = "age-gender"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,46}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 48 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "ip_range" {
  type        = string
  description = "Addresses of the subnetwork. Cloud Run takes about two for each instance, and wants at least a /26."
  default     = "10.20.0.0/22"
  validation {
    condition     = can(cidrhost(var.ip_range, 0)) && try(tonumber(split("/", var.ip_range)[1]) <= 26, false)
    error_message = "ip_range must look like 10.20.0.0/22, with a mask of at most 26."
  }
}

variable "flow_logs" {
  type        = bool
  description = "Whether to log samples of all connections."
  default     = false
}
