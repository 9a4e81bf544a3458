"""``python -m examples.users``: serve the application as the environment says."""

import uvicorn

from examples.users.app import create_app
from examples.users.core.json_logs import configure_logging
from examples.users.core.settings import AppSettings
from layerkit.settings import get_settings


def main() -> None:
    """Serve until interrupted."""
    settings = get_settings(AppSettings)
    configure_logging(debug=settings.DEBUG)
    settings.check()  # in production, refuses what is unfit for it
    app = create_app(settings)
    # log_config=None: uvicorn's own lines become JSON, too.
    uvicorn.run(app, host=settings.HOST, port=settings.PORT, log_config=None)


if __name__ == "__main__":
    main()
