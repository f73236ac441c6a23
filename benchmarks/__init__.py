"""Speed, memory, cold start and detection, measured on real photos; ``python -m benchmarks``."""
