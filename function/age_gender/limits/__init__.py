"""What one process takes on at a time.

``cpus`` and ``capacity`` measure the machine, ``admission`` has the gates and budgets, and
``limiter`` combines them for predictions.
"""
