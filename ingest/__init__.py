"""The ingest service: keeps the stores current with what Things publish."""
