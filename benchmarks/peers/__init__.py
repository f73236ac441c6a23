"""What users would otherwise pick, run over the same pictures beside us."""
