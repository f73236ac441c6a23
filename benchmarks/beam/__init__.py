"""Apache Beam against the back-fill's shards; see docs/adr/0011-shards-instead-of-beam.md."""
