"""The eyes: torch networks that find faces and turn them into templates. Importing this package imports no torch."""
