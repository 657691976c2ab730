"""The API service: speaks with citizens and machines."""
