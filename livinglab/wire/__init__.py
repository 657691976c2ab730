"""Topics, routes, and one payload decoder per format."""
