"""Pictures of every kind, sent to the service of this checkout and of an older one."""
