"""Repositories, units of work and services on synchronous sessions, from sync code."""

from layerkit.sync.run import iterate, run, savepoint, unit_of_work

__all__ = ["iterate", "run", "savepoint", "unit_of_work"]
