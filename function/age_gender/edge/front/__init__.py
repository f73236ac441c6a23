"""The server: one thread for all connections, and a few for whole requests (docs/adr/0008)."""
