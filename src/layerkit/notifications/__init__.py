"""Notifications: messages to people and systems outside, with an outcome for each."""

from layerkit.notifications.base import Delivery, Notification, NotificationInterface
from layerkit.notifications.service import NotificationService

__all__ = ["Delivery", "Notification", "NotificationInterface", "NotificationService"]
