"""One module for each command. What takes long to import is imported when a command runs."""
