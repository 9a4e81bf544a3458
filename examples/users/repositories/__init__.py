"""Access to data."""
