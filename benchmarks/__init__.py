"""Speed, memory, cold start and detection on real photos; ``python -m benchmarks``."""
