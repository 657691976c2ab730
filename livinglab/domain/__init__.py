"""What the lab knows, whoever asks: nouns and their rules, on the standard library alone."""
