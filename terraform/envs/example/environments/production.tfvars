# Protected, warm, and larger than a new project's quota: have it raised first.
project_id             = "my-production"
region                 = "europe-west1"
min_instances          = 1
max_instances          = 10
annotate_max_instances = 10
backfill_shards        = 20
cpu_quota              = 100
memory_quota_gib       = 100
keep_releases          = 20
vpc_egress             = true
deletion_protection    = true
labels                 = { environment = "production" }
