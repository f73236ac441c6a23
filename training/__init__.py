"""What makes the models: the third-party build step and our own training."""
