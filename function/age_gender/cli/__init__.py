"""What ``local_runner.py`` is made of. The deployed service is shipped without it."""
