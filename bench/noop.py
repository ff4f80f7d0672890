"""A Flask app that does nothing: `bench.acknowledge` compares our webhook with it."""

from flask import Flask


def create_app() -> Flask:
    """One route with our webhook's path. It does not read the request."""
    app = Flask("bench.noop", static_folder=None)

    @app.post("/webhooks/recordings")
    def nothing() -> tuple[str, int]:
        return "", 204

    return app
