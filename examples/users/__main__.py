"""``python -m examples.users``: serve the application as the environment says."""

import sys

import uvicorn

from examples.users.app import create_app
from examples.users.core.json_logs import configure_logging
from examples.users.core.settings import AppSettings
from layerkit import SettingsError
from layerkit.settings import get_settings


def main() -> None:
    """Serve until interrupted."""
    try:
        settings = get_settings(AppSettings)
        settings.check()  # in production, refuses what is unfit for it
    except SettingsError as error:
        sys.exit(str(error))  # who starts it reads what to set, and no traceback
    configure_logging(debug=settings.DEBUG)
    app = create_app(settings)
    # log_config=None: uvicorn's own lines become JSON, too.
    uvicorn.run(app, host=settings.HOST, port=settings.PORT, log_config=None)


if __name__ == "__main__":
    main()
