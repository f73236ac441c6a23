# Everything, for one project. Start from terraform.tfvars.example.

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}

# Only for Google's service agents, which the main provider does not support.
provider "google-beta" {
  project = var.project_id
  region  = var.region
}

locals {
  labels = merge({ app = "age-gender" }, var.labels)

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
    var.bucket_trigger ? ["pubsub.googleapis.com"] : [],
    var.bigquery_dataset == null ? [] : ["bigquery.googleapis.com"],
    var.kms_key == null ? [] : ["cloudkms.googleapis.com"],
    local.network || var.gke_gpu || var.domain != null ? ["compute.googleapis.com"] : [],
    var.gke_gpu ? ["binaryauthorization.googleapis.com", "container.googleapis.com"] : [],
    length(var.iap_members) > 0 ? ["iap.googleapis.com"] : [],
    var.monitoring ? ["logging.googleapis.com", "monitoring.googleapis.com"] : [],
    var.billing_account == null ? [] : ["billingbudgets.googleapis.com"],
  )
  agents = concat(
    var.bucket_trigger ? ["pubsub.googleapis.com"] : [],
    var.kms_key == null ? [] : ["artifactregistry.googleapis.com", "secretmanager.googleapis.com"],
    var.kms_key == null || var.bigquery_dataset == null ? [] : ["bigquery.googleapis.com"],
    var.kms_key == null || !var.gke_gpu ? [] : ["compute.googleapis.com", "container.googleapis.com"],
    length(var.iap_members) > 0 ? ["iap.googleapis.com"] : [],
  )

  network = var.vpc_egress || var.gke_gpu

  # Spelled out, because members of roles must be known before anything is created: a role whose
  # member is not known yet is deleted and granted again.
  build_account = "serviceAccount:age-gender-build@${var.project_id}.iam.gserviceaccount.com"

  # What all instances together take.
  cpu = sum([
    2 * var.max_instances,
    var.gpu ? 4 * var.gpu_max_instances : 0,
    var.bucket_trigger ? 2 * var.annotate_max_instances + var.backfill_shards : 0,
  ])
  memory_gib = sum([
    var.max_instances,
    var.gpu ? 16 * var.gpu_max_instances : 0,
    var.bucket_trigger ? var.annotate_max_instances + var.backfill_shards : 0,
  ])

  # Use the given images, or build this checkout.
  build     = var.image == null
  needs_gpu = var.gpu || var.gke_gpu
  build_gpu = local.needs_gpu && var.gpu_image == null
  image     = local.build ? terraform_data.image["cpu"].output : var.image
  gpu_image = local.build_gpu ? terraform_data.image["gpu"].output : var.gpu_image
}

# The others take the project's ID from here, and so come after its APIs; see the module.
module "project" {
  source     = "../../modules/project"
  project_id = var.project_id
  services   = local.services
  agents     = local.agents
  kms_key    = var.kms_key
}

module "registry" {
  source        = "../../modules/artifact_registry"
  project_id    = module.project.project_id
  region        = var.region
  keep_releases = var.keep_releases
  writers       = [local.build_account]
  kms_key       = var.kms_key
  labels        = local.labels
  depends_on    = [google_service_account.build]
}

module "network" {
  count      = local.network ? 1 : 0
  source     = "../../modules/network"
  project_id = module.project.project_id
  region     = var.region
}

module "predict" {
  source              = "../../modules/cloud_run"
  project_id          = module.project.project_id
  region              = var.region
  image               = local.image
  min_instances       = var.min_instances
  max_instances       = var.max_instances
  cpu_quota           = var.cpu_quota
  memory_quota_gib    = var.memory_quota_gib
  public              = var.public
  auth                = var.auth
  auth_keys_secret    = var.auth_keys_secret
  cors_origins        = var.cors_origins
  invokers            = concat(var.invokers, [local.build_account])
  invoker_agents      = length(var.iap_members) > 0 ? { proxy = module.project.agents.iap } : {}
  ingress             = var.domain == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  password            = var.password
  password_version    = var.password_version
  password_secret     = var.password_secret
  secret_locations    = var.secret_locations
  picture_buckets     = var.picture_buckets
  kms_key             = var.kms_key
  egress              = var.vpc_egress ? module.network[0].egress : null
  deletion_protection = var.deletion_protection
  labels              = local.labels
}

# A service of its own: an image and a machine cannot change together, since Terraform leaves images
# to releases. So the other one serves on, whatever becomes of this.
module "predict_gpu" {
  count            = var.gpu ? 1 : 0
  source           = "../../modules/cloud_run"
  project_id       = module.project.project_id
  region           = var.region
  name             = "age-gender-predict-gpu"
  image            = local.gpu_image
  cpu              = 4
  memory           = "16Gi"
  gpu              = true
  max_instances    = var.gpu_max_instances
  cpu_quota        = var.cpu_quota
  memory_quota_gib = var.memory_quota_gib
  public           = var.public
  auth             = var.auth
  auth_keys_secret = var.auth_keys_secret
  cors_origins     = var.cors_origins
  invokers         = concat(var.invokers, [local.build_account])
  # The load balancer leads to the other one, and this must not be a way around it.
  ingress                 = var.domain == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY"
  password_secret         = module.predict.password_secret
  password_secret_version = module.predict.password_secret_version
  picture_buckets         = var.picture_buckets
  kms_key                 = var.kms_key
  egress                  = var.vpc_egress ? module.network[0].egress : null
  deletion_protection     = var.deletion_protection
  labels                  = local.labels
}

module "annotate" {
  count                   = var.bucket_trigger ? 1 : 0
  source                  = "../../modules/bucket_trigger"
  project_id              = module.project.project_id
  region                  = var.region
  image                   = local.image
  storage_agent           = module.project.agents.storage
  pubsub_agent            = module.project.agents.pubsub
  input_bucket            = coalesce(var.input_bucket, "${var.project_id}-pictures")
  output_bucket           = coalesce(var.output_bucket, "${var.project_id}-results")
  bucket_location         = var.bucket_location
  input_days              = var.input_days
  input_soft_delete_days  = var.soft_delete_days
  output_soft_delete_days = var.soft_delete_days
  annotated_image         = var.annotated_image
  max_instances           = var.annotate_max_instances
  backfill_shards         = var.backfill_shards
  bigquery_dataset        = var.bigquery_dataset
  kms_key                 = var.kms_key
  egress                  = var.vpc_egress ? module.network[0].egress : null
  force_destroy           = var.force_destroy
  deletion_protection     = var.deletion_protection
  labels                  = local.labels
}

module "gpu" {
  count               = var.gke_gpu ? 1 : 0
  source              = "../../modules/gke_gpu"
  project_id          = module.project.project_id
  region              = var.region
  image               = local.gpu_image
  repository          = module.registry.name
  repository_location = var.region
  network             = module.network[0].network
  subnetwork          = module.network[0].subnetwork
  gpu_quota           = var.gpu_quota
  max_replicas        = min(3, var.gpu_quota)
  auth                = var.auth == "keys" ? "keys" : "basic"
  password_secret     = module.predict.password_secret
  auth_keys_secret    = var.auth_keys_secret
  picture_buckets     = var.picture_buckets
  kms_key             = var.kms_key
  deletion_protection = var.deletion_protection
  labels              = local.labels
}

module "load_balancer" {
  count               = var.domain == null ? 0 : 1
  source              = "../../modules/load_balancer"
  project_id          = module.project.project_id
  region              = var.region
  service             = module.predict.name
  domain              = var.domain
  requests_per_minute = var.requests_per_minute
  allowed_ranges      = var.allowed_ranges
  iap_members         = var.iap_members
  labels              = local.labels
}

moved {
  from = google_project_service.apis
  to   = module.project.google_project_service.apis
}

moved {
  from = module.annotate[0].google_project_service_identity.pubsub
  to   = module.project.google_project_service_identity.agents["pubsub.googleapis.com"]
}
