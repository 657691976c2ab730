"""What goes over HTTP, and no further."""
