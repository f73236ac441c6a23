"""Trains the small face detector to answer as the large one does; no labels are needed."""
