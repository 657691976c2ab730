"""Effects: one function per estimator, each from a panel or a tidy frame to an Estimate."""
