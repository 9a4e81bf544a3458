"""Filters as data: a tree that every store reads for itself, orders, pages, groups."""

__all__: list[str] = []
