"""Schema changes, one step a file, oldest first."""
