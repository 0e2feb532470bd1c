"""People who do not exist, and the streets they walk on, computed from seeds alone."""
