variable "project_id" {
  type        = string
  description = "Project of the load balancer."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region of the service."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "name" {
  type        = string
  description = "Name of all parts of the load balancer."
  default     = "age-gender"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,46}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 48 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "service" {
  type        = string
  description = "Name of the Cloud Run service. Give it the ingress INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER, or it can be reached without the load balancer."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,47}[a-z0-9]$", var.service))
    error_message = "service must be the name of a service."
  }
}

variable "domain" {
  type        = string
  description = "Name of the service, such as faces.example.com. Its DNS record must point to the output address, or Google issues no certificate."
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain))
    error_message = "domain must look like faces.example.com."
  }
}

variable "requests_per_minute" {
  type        = number
  description = "Requests per minute that each address may send; more are answered 429."
  default     = 600
  validation {
    condition     = var.requests_per_minute >= 1 && var.requests_per_minute <= 10000 && floor(var.requests_per_minute) == var.requests_per_minute
    error_message = "requests_per_minute must be a whole number from 1 to 10000."
  }
}

variable "allowed_ranges" {
  type        = list(string)
  description = "Ranges of addresses that may come, such as 203.0.113.0/24; empty: all. At most 5, as Cloud Armor takes."
  default     = []
  validation {
    condition     = length(var.allowed_ranges) <= 5 && alltrue([for r in var.allowed_ranges : can(cidrhost(r, 0))])
    error_message = "allowed_ranges must be at most 5 ranges such as 203.0.113.0/24."
  }
}

variable "iap_members" {
  type        = list(string)
  description = "IAM members that may come, through Identity-Aware Proxy, such as group:faces@example.com; empty: no such check. Their clients send Google's token in Proxy-Authorization, and our password in Authorization."
  default     = []
  validation {
    condition     = alltrue([for m in var.iap_members : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", m))])
    error_message = "each of iap_members must be an IAM member such as user:somebody@example.com."
  }
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
