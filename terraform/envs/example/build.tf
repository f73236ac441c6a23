# Cloud Build: tests, builds, and releases (cloudbuild.test.yaml, cloudbuild.yaml).

locals {
  submit = {
    for config, account in { test = google_service_account.test, build = google_service_account.build } :
    config => join(" ", [
      "gcloud builds submit . --config=${config == "test" ? "cloudbuild.test.yaml" : "cloudbuild.yaml"}",
      "--project=${var.project_id} --region=${coalesce(var.build_region, var.region)}",
      "--service-account=${account.name}",
      "--gcs-source-staging-dir=gs://${google_storage_bucket.sources.name}/source",
      "--gcs-log-dir=gs://${google_storage_bucket.build_logs.name}/log",
    ])
  }

  # Through a mirror, the tests' image comes from there, too.
  test = join("", [local.submit.test, var.registry_mirror == null ? "" : " --substitutions=_REGISTRY_MIRROR=${var.registry_mirror}"])

  registry_substitutions = "_REGION=${var.region},_REPOSITORY=${module.registry.name}"
  mirror_substitution    = var.registry_mirror == null ? "" : ",_REGISTRY_MIRROR=${var.registry_mirror}"

  # What a release of each target changes.
  trial_substitutions   = ",_AUTH=${var.auth},_USERNAME=${module.predict.username},_SECRET=${var.auth == "keys" ? var.auth_keys_secret : module.predict.password_secret}"
  trigger_substitutions = var.bucket_trigger ? ",_ANNOTATE_SERVICE=${module.annotate[0].service},_BACKFILL_JOB=${module.annotate[0].job}" : ""
  released = merge(
    { cpu = ",_SERVICE=${module.predict.name}${local.trial_substitutions}${local.trigger_substitutions}" },
    local.needs_gpu ? { gpu = var.gpu ? ",_SERVICE=${module.predict_gpu[0].name}${local.trial_substitutions}" : ",_SERVICE=" } : {},
  )
}

# Tests run what they please, so their identity may do nothing but log.
resource "google_service_account" "test" {
  project      = module.project.project_id
  account_id   = "age-gender-test"
  display_name = "Tests age and gender estimation"
}

resource "google_service_account" "build" {
  project      = module.project.project_id
  account_id   = "age-gender-build"
  display_name = "Builds and releases age and gender estimation"
}

resource "google_project_iam_member" "test_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.test.member
}

resource "google_project_iam_member" "build" {
  for_each = toset([
    "roles/logging.logWriter",
    "roles/ondemandscanning.admin",
    "roles/run.developer",
  ])
  project = var.project_id
  role    = each.value
  member  = google_service_account.build.member
}

# Buckets of their own for the sources that gcloud uploads, and for the logs that it shows: a build
# that could read all of the project's buckets could read users' pictures.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_78: uploads for a single build, deleted after a month
  project                     = module.project.project_id
  name                        = "${var.project_id}-age-gender-build"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 30
    }
  }
}

resource "google_storage_bucket" "build_logs" {
  #checkov:skip=CKV_GCP_78: logs are written once
  #checkov:skip=CKV_GCP_62: these are logs themselves
  project                     = module.project.project_id
  name                        = "${var.project_id}-age-gender-build-logs"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 30
    }
  }
}

resource "google_storage_bucket_iam_member" "sources_read" {
  for_each = { test = google_service_account.test, build = google_service_account.build }
  bucket   = google_storage_bucket.sources.name
  role     = "roles/storage.objectViewer"
  member   = each.value.member
}

# Cloud Build asks for this role on a bucket of logs.
resource "google_storage_bucket_iam_member" "logs_written" {
  for_each = { test = google_service_account.test, build = google_service_account.build }
  bucket   = google_storage_bucket.build_logs.name
  role     = "roles/storage.admin"
  member   = each.value.member
}

# Deploying a revision requires the right to act as its identity.
resource "google_service_account_iam_member" "build_deploys" {
  for_each = merge(
    { predict = module.predict.service_account },
    var.gpu ? { predict_gpu = module.predict_gpu[0].service_account } : {},
    var.bucket_trigger ? {
      annotate = module.annotate[0].service_account
      backfill = module.annotate[0].backfill_service_account
    } : {},
  )
  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.build.member
}

# The smoke test of a release requests a prediction,
resource "google_secret_manager_secret_iam_member" "build_tests" {
  project   = var.project_id
  secret_id = module.predict.password_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.build.member
}

resource "google_secret_manager_secret_iam_member" "build_tests_keys" {
  count     = var.auth_keys_secret == null ? 0 : 1
  project   = var.project_id
  secret_id = var.auth_keys_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.build.member
}

# from a private service with a token of the build's own identity.
resource "google_service_account_iam_member" "build_identifies" {
  count              = var.public ? 0 : 1
  service_account_id = google_service_account.build.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = google_service_account.build.member
}

# The first images, so that one apply is enough, without tests and scan: a vulnerability found since
# must not prevent it. Releases replace them.
resource "terraform_data" "image" {
  for_each         = toset(concat(local.build ? ["cpu"] : [], local.build_gpu ? ["gpu"] : []))
  input            = "${module.registry.url}/service${each.key == "cpu" ? "" : "-${each.key}"}:first"
  triggers_replace = module.registry.url

  provisioner "local-exec" {
    working_dir = "${path.module}/../../.."
    # New roles take a minute to hold everywhere.
    command = join(" ", [
      "sleep 60 &&",
      local.submit.build,
      "--substitutions=${local.registry_substitutions},_TARGET=${each.key},_TAG=first,_SEVERITY=NONE,_RELEASE=false${local.mirror_substitution}",
    ])
  }

  depends_on = [
    google_project_iam_member.build,
    google_storage_bucket_iam_member.logs_written,
    google_storage_bucket_iam_member.sources_read,
    module.registry,
  ]
}
