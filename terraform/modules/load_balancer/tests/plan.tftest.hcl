# No account is needed: the providers' schemas are enough.
mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  service    = "age-gender-predict"
  domain     = "faces.example.com"
}

run "defaults" {
  assert {
    condition     = google_compute_region_network_endpoint_group.service.cloud_run[0].service == "age-gender-predict" && one(google_compute_backend_service.this.backend).group == google_compute_region_network_endpoint_group.service.id
    error_message = "requests go to the service"
  }
  assert {
    condition     = google_compute_backend_service.this.security_policy == google_compute_security_policy.this.id && one([for r in google_compute_security_policy.this.rule : r.rate_limit_options[0].rate_limit_threshold[0].count if r.action == "throttle"]) == 600
    error_message = "each client's rate is limited"
  }
  assert {
    condition     = length([for r in google_compute_security_policy.this.rule : r if r.action == "deny(403)"]) == 0 && !google_compute_backend_service.this.iap[0].enabled && length(google_iap_web_backend_service_iam_member.members) == 0
    error_message = "addresses and identities are not looked at unless asked for"
  }
  assert {
    condition     = google_compute_ssl_policy.this.min_tls_version == "TLS_1_2" && google_compute_target_https_proxy.this.ssl_policy == google_compute_ssl_policy.this.id && google_compute_managed_ssl_certificate.this.managed[0].domains == tolist(["faces.example.com"])
    error_message = "HTTPS with today's versions of TLS and a certificate for the domain"
  }
  assert {
    condition     = google_compute_url_map.redirect.default_url_redirect[0].https_redirect && google_compute_target_http_proxy.redirect.url_map == google_compute_url_map.redirect.id
    error_message = "plain HTTP is only redirected"
  }
  assert {
    condition     = output.url == "https://faces.example.com"
    error_message = "the service has its own name"
  }
}

run "options" {
  command = plan
  variables {
    name                = "faces"
    requests_per_minute = 60
    allowed_ranges      = ["203.0.113.0/24", "198.51.100.0/24"]
    iap_members         = ["group:faces@example.com"]
    labels              = { team = "faces" }
  }
  assert {
    condition     = one([for r in google_compute_security_policy.this.rule : r.match[0].expr[0].expression if r.action == "deny(403)"]) == "!(inIpRange(origin.ip, '203.0.113.0/24') || inIpRange(origin.ip, '198.51.100.0/24'))"
    error_message = "only the ranges given may come"
  }
  assert {
    condition     = google_compute_backend_service.this.iap[0].enabled && google_iap_web_backend_service_iam_member.members["group:faces@example.com"].role == "roles/iap.httpsResourceAccessor"
    error_message = "only the members given may come"
  }
  assert {
    condition     = google_compute_global_forwarding_rule.https.labels == tomap({ team = "faces" }) && google_compute_global_forwarding_rule.https.name == "faces"
    error_message = "name and labels are as given"
  }
}

run "refuses_addresses_that_are_none" {
  command = plan
  variables {
    domain              = "https://faces.example.com"
    allowed_ranges      = ["203.0.113.0"]
    requests_per_minute = 0
    iap_members         = ["allUsers"]
  }
  expect_failures = [var.domain, var.allowed_ranges, var.requests_per_minute, var.iap_members]
}

run "refuses_a_zone" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}
