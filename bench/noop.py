"""What the acknowledging of events is measured against: Flask that does nothing."""

from flask import Flask


def create_app() -> Flask:
    """One route, the same as ours; no look at the request."""
    app = Flask("bench.noop", static_folder=None)

    @app.post("/webhooks/recordings")
    def nothing() -> tuple[str, int]:
        return "", 204

    return app
