"""Exact search over blocks of templates that the process owns, kept up to date from the watchlist topic."""
