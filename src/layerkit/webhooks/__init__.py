"""Notifications by signed HTTP requests, in the form of Standard Webhooks.

Needs the extra ``webhooks``. This release holds the import guard alone;
``WebhookNotification`` and the check of received signatures arrive here.
"""

from layerkit.core.extras import require_extra

require_extra("httpx", package=__name__, extra="webhooks")

__all__: list[str] = []
