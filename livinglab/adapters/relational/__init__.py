"""Where civic data and contact data are kept, apart from each other."""
