terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.0, < 9.0"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 8.0, < 9.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
  }

  # The state holds a generated password. For more than a trial, keep it in a private bucket:
  # backend "gcs" {
  #   bucket = "my-terraform-state"
  #   prefix = "age-gender"
  # }
}
