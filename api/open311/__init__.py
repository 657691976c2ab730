"""Open311 GeoReport v2: the lab in the words of the standard, for clients that exist already."""
