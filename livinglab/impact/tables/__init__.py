"""What is said about Effects: a TOML file per language, read by `impact.wording`."""
