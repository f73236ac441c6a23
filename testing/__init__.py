"""Shared by tests and benchmarks: the real server, real photos, and local buckets."""
