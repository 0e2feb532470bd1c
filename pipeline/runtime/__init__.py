"""Settings, the one composition root, lifecycle, and the jobs behind the commands."""
