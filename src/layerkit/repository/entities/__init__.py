"""What is known of entity classes, and users' data and filters judged by it."""

__all__: list[str] = []
