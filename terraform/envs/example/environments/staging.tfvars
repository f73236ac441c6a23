# Small, and deleted without asking.
project_id       = "my-staging"
region           = "europe-west1"
max_instances    = 2
backfill_shards  = 2
input_days       = 7
soft_delete_days = 0
force_destroy    = true
labels           = { environment = "staging" }
