"""The fuse box: the only file that knows every room. It wires them together by the settings, and holds no logic.

`gunicorn "wsgi:create_app()"` serves; `flask` finds this file by itself and gets the same app, but with nothing checked
or opened before a command needs it, so that a command works where another setting is still missing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import click
from flask import Flask

import console
import settings as environment
import webhooks
from console.logs import configure_logging
from plugins.manager import Plugins, load_plugins
from recordings.archive.credentials import ApplicationToken, load_private_key
from recordings.archive.failures import RetryPolicy
from recordings.archive.fetch import Fetcher
from recordings.archive.heartbeat import Heartbeat
from recordings.archive.hosts import HostRule
from recordings.archive.limits import StorageLimits
from recordings.archive.replicate import Replicator
from recordings.archive.retrieval import Retrieval
from recordings.archive.sidecar import SidecarWriter
from recordings.care.repair import Repair
from recordings.catalogue.database import Database
from recordings.catalogue.inbox import Inbox, Replayed
from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.schedule import Schedule
from recordings.engine.engine import Engine
from recordings.engine.periodic import PeriodicTask, PeriodicTasks
from recordings.engine.supervisor import Supervisor
from recordings.engine.wake import Bell
from recordings.errors import StorageConfigurationError
from recordings.keys import KeyTemplate
from recordings.storage import StorageBackend
from settings import Settings, SettingsError
from webhooks.door import Door
from webhooks.flows import FlowSettings
from webhooks.replay import Interpreter
from webhooks.signature import Verifier

BUILTINS = ("backends.local", "backends.gcs", "backends.azure")


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """The application. Raises `SettingsError` when it is to serve and a setting is wrong or missing.

    For a command, what is wrong waits in `Wiring.problems`: `flask doctor` lists it, any other one stops at it.
    """
    if environ is None:
        environment.read_env_file()
    chosen, problems = environment.survey(environ)
    if problems and _serving():
        raise problems[0]
    wiring = Wiring(chosen, tuple(problems))
    configure_logging(wiring.settings.log_level, wiring.settings.log_format)
    app = Flask("tapekeeper", static_folder=None)
    app.extensions["tapekeeper"] = wiring
    console.register(app, wiring)
    if _serving():
        environment.require_serving(wiring.settings)
        app.register_blueprint(webhooks.create_blueprint(wiring.door))
        wiring.engine  # noqa: B018 - made now, so that a wrong key, storage or plugin stops the start
    return app


def _serving() -> bool:
    """Not for a `flask` command, `flask run` excepted."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


@dataclass(frozen=True)
class Wiring:
    """Every part, made once, at its first use, out of the settings."""

    settings: Settings
    problems: tuple[SettingsError, ...] = ()

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database_url)

    @cached_property
    def intake(self) -> Intake:
        return Intake(self.database, self.settings.storage_url, announce=self.bell.ring)

    @cached_property
    def bell(self) -> Bell:
        return Bell()

    @cached_property
    def supervisor(self) -> Supervisor:
        return Supervisor()

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule(self.database)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.database, lease=self.settings.lease_seconds)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        return Heartbeat(self.leases, self.supervisor.start)

    @cached_property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(first=self.settings.retry_first_seconds, most=self.settings.retry_max_seconds)

    @cached_property
    def plugins(self) -> Plugins:
        return load_plugins(BUILTINS, plugins_dir=self.settings.plugins_dir, disabled=self.settings.plugins_disabled)

    @cached_property
    def storages(self) -> dict[str, StorageBackend]:
        """The configured storages by the URL that the copies know them by."""
        return {url: self.storage(url) for url in self.settings.storage_url}

    def storage(self, url: str) -> StorageBackend:
        """The backend for any storage URL."""
        try:
            return self.plugins.backend(url, self.settings.backend_env)
        except StorageConfigurationError as error:
            raise SettingsError("STORAGE_URL", url, str(error)) from error

    @cached_property
    def token(self) -> ApplicationToken:
        try:
            key = load_private_key(self.settings.vonage_private_key)
        except ValueError as error:
            raise SettingsError("VONAGE_PRIVATE_KEY", "***", str(error)) from None
        return ApplicationToken(self.settings.vonage_application_id, key)

    @cached_property
    def fetcher(self) -> Fetcher:
        try:
            rule = HostRule.parse(self.settings.recording_hosts)
        except ValueError as error:
            raise SettingsError("RECORDING_HOSTS", " ".join(self.settings.recording_hosts), str(error)) from None
        return Fetcher(rule, self.token.mint, connections=self.settings.worker_threads)

    @cached_property
    def template(self) -> KeyTemplate:
        try:
            return KeyTemplate(self.settings.storage_key_template)
        except StorageConfigurationError as error:
            raise SettingsError("STORAGE_KEY_TEMPLATE", self.settings.storage_key_template, str(error)) from error

    @cached_property
    def retrieval(self) -> Retrieval:
        return Retrieval(
            leases=self.leases,
            heartbeat=self.heartbeat,
            fetcher=self.fetcher,
            storages=self.storages,
            template=self.template,
            hooks=self.plugins,
            policy=self.policy,
            replicator=self.replicator,
            limits=self.limits,
            sidecars=self.sidecars,
        )

    @cached_property
    def replicator(self) -> Replicator:
        return Replicator(self.storages, self.storage, self.sidecars)

    @cached_property
    def limits(self) -> StorageLimits:
        return StorageLimits(self.settings.storage_url, self.settings.worker_threads)

    @cached_property
    def sidecars(self) -> SidecarWriter:
        return SidecarWriter(environment.VERSION)

    @cached_property
    def engine(self) -> Engine:
        return Engine(
            self.retrieval.archive,
            self.leases,
            self.schedule,
            self.heartbeat,
            self.tasks,
            self.supervisor,
            self.bell,
            threads=self.settings.worker_threads,
            full=self.limits.full,
        )

    @cached_property
    def missing(self) -> MissingCalls:
        return MissingCalls(
            self.database, grace=self.settings.missing_grace_seconds, tell=self.plugins.recording_missing
        )

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox(self.database, self.intake, retention_days=self.settings.delivery_retention_days)

    @cached_property
    def repair(self) -> Repair:
        return Repair(
            storages=self.storages,
            leases=self.leases,
            schedule=self.schedule,
            policy=self.policy,
            replicator=self.replicator,
            carry_out=self.retrieval.carry_out,
        )

    @cached_property
    def tasks(self) -> PeriodicTasks:
        return PeriodicTasks(
            [
                PeriodicTask("The back-off of copies that kill their worker", 5, self._back_off_dead),
                PeriodicTask("The search for missing recordings", 15, self.missing.settle),
                PeriodicTask("The pruning of old deliveries", 600, self.inbox.prune),
            ]
        )

    def _back_off_dead(self) -> int:
        return self.schedule.back_off_dead(self.policy.backoff)

    def replay(self, delivery_id: int) -> Replayed:
        """Take a delivery that is kept in once more, judged by the settings of now."""
        return self.inbox.replay(delivery_id, Interpreter(self._verifier(), self._flows(), self.application_id))

    @property
    def application_id(self) -> str:
        return self.settings.vonage_application_id

    @cached_property
    def door(self) -> Door:
        return Door(
            intake=self.intake,
            verifier=self._verifier(),
            flows=self._flows(),
            application_id=self.settings.vonage_application_id,
            answer_call=self.plugins.answer_call,
            keep_refused=self.inbox.keep_refused,
        )

    def _verifier(self) -> Verifier:
        chosen = self.settings
        try:
            return Verifier(
                chosen.vonage_signature_secret, chosen.allow_unsigned_webhooks, chosen.signature_max_age_seconds
            )
        except ValueError as error:
            raise SettingsError("VONAGE_SIGNATURE_SECRET", "***", str(error)) from None

    def _flows(self) -> FlowSettings:
        return FlowSettings(
            public_url=self.settings.public_url,
            default_flow=self.settings.call_flow,
            recording_format=self.settings.recording_format,
            forward_to=self.settings.forward_to,
            vonage_number=self.settings.vonage_number,
            greeting=self.settings.greeting,
            conversation_name=self.settings.conversation_name,
            moderators=frozenset(self.settings.moderators),
            hold_music_url=self.settings.hold_music_url,
        )

    def release(self) -> None:
        """Close what a command opened; whatever is used again opens anew."""
        if "database" in self.__dict__:
            self.database.close()

    # --- Life of a web process; called by gunicorn.conf.py ------------------------------------------------------------

    def start_embedded_worker(self) -> None:
        """Archive in this process too, if no other web process of this machine does."""
        if self.settings.embedded_worker:
            self.engine.start_embedded(self.database.worker_lock)

    def stop(self) -> None:
        """Finish or give back what runs, write down the last calls, close what is open."""
        # gunicorn has waited 2 s for idle connections by now, and kills 25 s after the SIGTERM.
        self.engine.stop()
        self.door.notes.close()
        self.door.refused.close()
        for storage in self.storages.values():
            storage.close()
        self.replicator.close()
        self.fetcher.close()
        self.database.close()
        logging.getLogger(__name__).info("Stopped; nothing that was acknowledged is lost.")
