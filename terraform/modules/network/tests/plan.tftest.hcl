# No account is needed: the providers' schemas are enough.
mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
}

run "defaults" {
  command = plan

  assert {
    condition     = contains(google_compute_firewall.nothing_inside.destination_ranges, "10.0.0.0/8") && length(google_compute_firewall.nothing_inside.destination_ranges) == 5 && google_compute_firewall.nothing_inside.direction == "EGRESS" && google_compute_firewall.nothing_inside.deny != null
    error_message = "connections to addresses inside are denied"
  }
  assert {
    condition     = contains(google_compute_firewall.nothing_inside.target_tags, output.egress.tags[0])
    error_message = "for what runs under the tag that the services get"
  }
  assert {
    condition     = google_compute_subnetwork.this.private_ip_google_access && !google_compute_network.this.auto_create_subnetworks
    error_message = "Google's own services are reached directly, from one subnetwork only"
  }
  assert {
    condition     = length(google_compute_subnetwork.this.log_config) == 0
    error_message = "connections are not logged unless asked for"
  }
}

run "options" {
  command = plan
  variables {
    name      = "faces"
    ip_range  = "10.99.0.0/24"
    flow_logs = true
  }
  assert {
    condition     = google_compute_subnetwork.this.ip_cidr_range == "10.99.0.0/24" && google_compute_network.this.name == "faces" && length(google_compute_subnetwork.this.log_config) == 1
    error_message = "name, addresses and logs are as asked for"
  }
  assert {
    condition     = output.network == "faces" && output.subnetwork == "faces" && output.egress.network == "faces"
    error_message = "others take the names from here"
  }
}

run "refuses_too_few_addresses" {
  command = plan
  variables { ip_range = "10.20.0.0/28" }
  expect_failures = [var.ip_range]
}

run "refuses_a_zone" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}
