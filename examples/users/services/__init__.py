"""The rules of the application."""
