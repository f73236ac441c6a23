"""What tests and benchmarks share: the real server, real photos, and buckets on the loopback."""
