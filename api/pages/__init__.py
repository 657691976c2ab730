"""Pages: Jinja templates, and what they need to be rendered."""
