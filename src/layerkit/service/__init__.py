"""The service layer: business rules around repositories."""

from layerkit.service.base import BaseService

__all__ = ["BaseService"]
