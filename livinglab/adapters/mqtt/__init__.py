"""MQTT: our subscriber for ingest, paho for everything that publishes, and a local broker."""
