"""The documentation as a site of plain HTML files: ``python -m docsite``."""
