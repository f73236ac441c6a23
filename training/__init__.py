"""Training, calibration and evaluation of our own models."""
