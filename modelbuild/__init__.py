"""Builds the models: fetch pinned packages, verify, convert; our own weights likewise."""
