"""Where Readings are kept."""
