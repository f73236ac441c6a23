"""From one instance to many: simulated autoscaling, capacity and cost; writes docs/scale.md."""
