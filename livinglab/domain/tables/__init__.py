"""Tables of air quality, a JSON file per table and version; `domain.air_quality` reads them."""
