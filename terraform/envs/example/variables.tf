variable "project_id" {
  type        = string
  description = "Project to deploy to."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  description = "Region for everything."
  default     = "europe-west1"
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like europe-west1."
  }
}

variable "image" {
  type        = string
  description = "Image to deploy; null builds this checkout with Cloud Build."
  default     = null
}

variable "gpu_image" {
  type        = string
  description = "Image of the target gpu; null builds it if gke_gpu asks for it."
  default     = null
}

variable "release" {
  type        = string
  description = "Tag of the images that the first apply builds."
  default     = "first"
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.release))
    error_message = "release must be an image tag."
  }
}

variable "min_instances" {
  type        = number
  description = "Instances of predict kept ready."
  default     = 0
}

variable "max_instances" {
  type        = number
  description = "Most instances of predict."
  default     = 10
}

variable "public" {
  type        = bool
  description = "Whether everyone may try the password of predict; with false only invokers."
  default     = true
}

variable "invokers" {
  type        = list(string)
  description = "Who may call predict when it is not public."
  default     = []
}

variable "password" {
  type        = string
  description = "Password of predict; null generates one."
  default     = null
  sensitive   = true
}

variable "password_secret" {
  type        = string
  description = "Secret made elsewhere with the password of predict, instead of password."
  default     = null
}

variable "picture_buckets" {
  type        = list(string)
  description = "Buckets whose objects requests may name as gs://…."
  default     = []
}

variable "bucket_trigger" {
  type        = bool
  description = "Whether pictures put into a bucket are annotated."
  default     = true
}

variable "input_bucket" {
  type        = string
  description = "Bucket to put pictures into; null: PROJECT-pictures."
  default     = null
}

variable "output_bucket" {
  type        = string
  description = "Bucket for results; null: PROJECT-results."
  default     = null
}

variable "annotated_image" {
  type        = string
  description = "Whether a JPEG is written beside each result: none, drawn or blurred."
  default     = "none"
}

variable "bigquery_dataset" {
  type        = string
  description = "Dataset to make for the back-fill's results; null makes none."
  default     = null
}

variable "gke_gpu" {
  type        = bool
  description = "Whether there is a cluster with GPUs beside Cloud Run."
  default     = false
}
