"""People's door: health and metrics for monitors, commands for operators.

A door translates: it asks the heart and shows what it says. It decides nothing about a recording's life.
"""

from __future__ import annotations

from flask import Flask

from . import (
    commands,
    copy_command,
    deliveries_commands,
    doctor,
    health,
    media_commands,
    metrics,
    missing_commands,
    recordings_commands,
    simulate,
    storage_commands,
    verify_commands,
)
from .services import Services


def register(app: Flask, services: Services) -> None:
    """Add this room's routes and commands to the app."""
    app.register_blueprint(health.create_blueprint(services))
    app.register_blueprint(metrics.create_blueprint(services))
    for command in (
        commands.migrate,
        commands.worker,
        commands.plugins,
        recordings_commands.recordings,
        deliveries_commands.deliveries,
        simulate.simulate,
        storage_commands.contract,
        doctor.doctor,
    ):
        app.cli.add_command(command)
    for command in (
        copy_command.copy,
        missing_commands.missing,
        media_commands.sweep_source,
        verify_commands.verify,
    ):
        recordings_commands.recordings.add_command(command)
