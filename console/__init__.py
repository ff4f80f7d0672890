"""People's door: health for monitors, commands for operators.

A door translates: it asks the heart and shows what it says. It decides nothing about a recording's life.
"""

from __future__ import annotations

from flask import Flask

from . import commands, health, recordings_commands, simulate
from .services import Services


def register(app: Flask, services: Services) -> None:
    """Add this room's routes and commands to the app."""
    app.register_blueprint(health.create_blueprint(services))
    for command in (
        commands.migrate,
        commands.worker,
        commands.plugins,
        recordings_commands.recordings,
        simulate.simulate,
    ):
        app.cli.add_command(command)
