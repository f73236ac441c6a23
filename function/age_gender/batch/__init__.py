"""Annotates the pictures of a bucket or folder.

``events`` (the trigger) and ``backfill`` both call ``annotate``, which reads from one `Store`, runs
the pipeline, and writes ``results`` to another.
"""
