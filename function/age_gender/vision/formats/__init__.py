"""Walks the structure of image files, without decoding any pixels."""
