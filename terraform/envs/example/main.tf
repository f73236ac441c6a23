# Everything, for one project. Start from terraform.tfvars.example.

provider "google" {
  project = var.project_id
  region  = var.region
  default_labels = {
    app = "age-gender"
  }
}

# Only for Google's service agents, which the main provider does not support.
provider "google-beta" {
  project = var.project_id
  region  = var.region
}

locals {
  services = concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "containerscanning.googleapis.com",
      "iam.googleapis.com",
      "ondemandscanning.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "storage.googleapis.com",
    ],
    var.bucket_trigger ? ["eventarc.googleapis.com", "pubsub.googleapis.com"] : [],
    var.bigquery_dataset == null ? [] : ["bigquery.googleapis.com"],
    var.gke_gpu ? ["compute.googleapis.com", "container.googleapis.com"] : [],
  )

  tag = var.release
  # Spelled out, because role members must be known before anything is created.
  build_account = "serviceAccount:age-gender-build@${var.project_id}.iam.gserviceaccount.com"

  submit = join(" ", [
    "gcloud builds submit . --config=cloudbuild.yaml --project=${var.project_id} --region=${var.region}",
    "--service-account=${google_service_account.build.name}",
    "--gcs-source-staging-dir=gs://${google_storage_bucket.sources.name}/source",
  ])

  # Use the given image, or build this checkout.
  build     = var.image == null
  image     = local.build ? "${module.registry.url}/service:${local.tag}" : var.image
  build_gpu = var.gke_gpu && var.gpu_image == null
  gpu_image = local.build_gpu ? "${module.registry.url}/service-gpu:${local.tag}" : var.gpu_image
}

resource "google_project_service" "apis" {
  for_each           = toset(local.services)
  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

module "registry" {
  source     = "../../modules/artifact_registry"
  project_id = var.project_id
  region     = var.region
  writers    = [local.build_account]
  depends_on = [google_project_service.apis, google_service_account.build]
}


# --- Cloud Build's identity: builds images and releases them (cloudbuild.yaml).

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "age-gender-build"
  display_name = "Builds and releases age and gender estimation"
  depends_on   = [google_project_service.apis]
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

# A separate bucket for the sources that gcloud uploads: a build that could read all of the
# project's buckets could read users' pictures.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_78: uploads for a single build, deleted after a month
  project                     = var.project_id
  name                        = "${var.project_id}-age-gender-build"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 30
    }
  }

  depends_on = [google_project_service.apis]
}

resource "google_storage_bucket_iam_member" "build_reads_sources" {
  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

# Deploying a revision requires the right to act as its identity.
resource "google_service_account_iam_member" "build_deploys" {
  for_each = merge(
    { predict = module.predict.service_account },
    var.bucket_trigger ? {
      annotate = module.annotate[0].service_account
      backfill = module.annotate[0].backfill_service_account
    } : {},
  )
  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.build.member
}

# The smoke test of a release requests a prediction.
resource "google_secret_manager_secret_iam_member" "build_tests" {
  project   = var.project_id
  secret_id = module.predict.password_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.build.member
}

# The first images, so that one apply is enough. Releases replace them.
resource "terraform_data" "image" {
  for_each         = toset(concat(local.build ? ["cpu"] : [], local.build_gpu ? ["gpu"] : []))
  triggers_replace = local.tag

  provisioner "local-exec" {
    working_dir = "${path.module}/../../.."
    command = join(" ", [
      local.submit,
      "--substitutions=_REGION=${var.region},_REPOSITORY=${module.registry.name},_TARGET=${each.key},_TAG=${local.tag},_TEST=false,_DEPLOY=false",
    ])
  }

  depends_on = [
    google_project_iam_member.build,
    google_storage_bucket_iam_member.build_reads_sources,
    module.registry,
  ]
}


module "predict" {
  source          = "../../modules/cloud_run"
  project_id      = var.project_id
  region          = var.region
  image           = local.image
  min_instances   = var.min_instances
  max_instances   = var.max_instances
  public          = var.public
  invokers        = concat(var.invokers, [local.build_account])
  password        = var.password
  password_secret = var.password_secret
  picture_buckets = var.picture_buckets
  depends_on      = [google_project_service.apis, terraform_data.image]
}

module "annotate" {
  count            = var.bucket_trigger ? 1 : 0
  source           = "../../modules/bucket_trigger"
  project_id       = var.project_id
  region           = var.region
  image            = local.image
  input_bucket     = coalesce(var.input_bucket, "${var.project_id}-pictures")
  output_bucket    = coalesce(var.output_bucket, "${var.project_id}-results")
  annotated_image  = var.annotated_image
  bigquery_dataset = var.bigquery_dataset
  depends_on       = [google_project_service.apis, terraform_data.image]
}

module "gpu" {
  count               = var.gke_gpu ? 1 : 0
  source              = "../../modules/gke_gpu"
  project_id          = var.project_id
  region              = var.region
  image               = local.gpu_image
  repository          = module.registry.name
  repository_location = var.region
  password_secret     = module.predict.password_secret
  picture_buckets     = var.picture_buckets
  deletion_protection = false
  depends_on          = [google_project_service.apis, terraform_data.image]
}
