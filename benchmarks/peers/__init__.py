"""Other libraries for the same task, measured on the same images."""
