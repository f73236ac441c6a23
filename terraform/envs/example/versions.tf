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

  # The state contains a generated password. Beyond a trial, keep it in a private bucket:
  # backend "gcs" {
  #   bucket = "my-terraform-state"
  #   prefix = "age-gender"
  # }
}
