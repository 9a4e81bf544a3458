"""Notifications by e-mail over SMTP.

Needs the extra ``smtp``. This release holds the import guard alone;
``EmailNotification`` arrives here.
"""

from layerkit.core.extras import require_extra

require_extra("aiosmtplib", package=__name__, extra="smtp")

__all__: list[str] = []
