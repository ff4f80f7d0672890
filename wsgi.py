"""The only file that knows every room: it makes the parts from the settings, connects them, and closes them.

`gunicorn "wsgi:create_app()"` serves; `flask` finds this file by itself and gets the same app, but with nothing checked
or opened before a command needs it, so that a command works where another setting is still missing. For the same reason
a room is imported where its part is made: a command waits only for what it uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import click
from flask import Flask

import commands
import settings as environment
from closing import CLOSE_SECONDS, beside_requests, close_all, closings_of
from logs import configure_logging
from recordings.errors import StorageConfigurationError
from recordings.timeouts import Deadline
from settings import Settings, SettingsError

if TYPE_CHECKING:
    from plugins.manager import Plugins
    from recordings.archive.credentials import ApplicationToken
    from recordings.archive.failures import RetryPolicy
    from recordings.archive.fetch import Fetcher
    from recordings.archive.heartbeat import Heartbeat
    from recordings.archive.hooks import LimitedHooks
    from recordings.archive.limits import StorageLimits
    from recordings.archive.replicate import Replicator
    from recordings.archive.retrieval import Retrieval
    from recordings.archive.sidecar import SidecarWriter
    from recordings.archive.waveforms import WaveformMaker
    from recordings.care.nightly import NightlyLists
    from recordings.care.repair import Repair
    from recordings.catalogue.database import Database
    from recordings.catalogue.inbox import Inbox
    from recordings.catalogue.intake import Intake
    from recordings.catalogue.leases import Leases
    from recordings.catalogue.missing import MissingCalls
    from recordings.catalogue.people import People
    from recordings.catalogue.schedule import Schedule
    from recordings.catalogue.workers import Workers
    from recordings.engine.engine import Engine
    from recordings.engine.periodic import PeriodicTasks
    from recordings.engine.supervisor import Supervisor
    from recordings.engine.wake import Bell
    from recordings.keys import KeyTemplate
    from recordings.storage import StorageBackend
    from serving import Serving
    from telling import Telling
    from webhooks.context import WebhookContext
    from webhooks.flows import FlowSettings
    from webhooks.replay import Interpreter
    from webhooks.signature import Verifier


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """The application. Raises `SettingsError` when it is to serve and a setting is wrong or missing.

    For a command, wrong settings are kept in `Wiring.problems`: `flask doctor` lists them, any other command stops.
    """
    context = click.get_current_context(silent=True)
    serving = context is None or context.info_name == "run"
    if environ is None:
        environment.read_env_file()
    if context is not None:
        commands.escape_what_cannot_be_shown()
    chosen, problems = environment.survey(environ)
    if problems and serving:
        raise problems[0]
    wiring = Wiring(chosen, tuple(problems))
    configure_logging(chosen.log_level, chosen.log_format)
    app = Flask("tapekeeper", static_folder=None)
    app.cli = commands.cli
    app.extensions["tapekeeper"] = wiring
    if context is None or context.parent is not None:  # `flask run`, `flask routes`; for our commands it is the root
        wiring.serving.register_console(app)
    if serving:
        environment.require_serving(chosen)
        wiring.serving.register_webhooks(app)
    if serving and context is not None:
        app.extensions["tapekeeper.demo_door"].open([context.params.get("host")])
        context.call_on_close(wiring.close)
    if serving and environ is None:  # a caller with an `environ` of its own, such as a test, starts what it wants
        wiring.serving.begin_with(app, context)
    return app


@dataclass(frozen=True)
class Wiring:
    """Every part of the program, made from the settings at its first use; `close` closes all of them."""

    settings: Settings
    problems: tuple[SettingsError, ...] = ()

    @cached_property
    def database(self) -> Database:
        from recordings.catalogue.database import Database

        return Database(self.settings.database_url, migration_url=self.settings.migration_database_url)

    @cached_property
    def people(self) -> People:
        from recordings.catalogue.people import People

        return People(self.database)

    @cached_property
    def intake(self) -> Intake:
        from recordings.catalogue.intake import Intake

        return Intake(self.database, self.settings.storage_url, announce=self.bell.ring)

    @cached_property
    def bell(self) -> Bell:
        from recordings.engine.wake import Bell

        return Bell()

    @cached_property
    def supervisor(self) -> Supervisor:
        from recordings.engine.supervisor import Supervisor

        return Supervisor()

    @cached_property
    def schedule(self) -> Schedule:
        from recordings.catalogue.schedule import Schedule

        return Schedule(self.database)

    @cached_property
    def leases(self) -> Leases:
        from recordings.catalogue.leases import Leases

        return Leases(self.database, lease=self.settings.lease_seconds, events=self.telling.new_events)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        from recordings.archive.heartbeat import Heartbeat

        return Heartbeat(self.leases, self.supervisor.start, backoff=self.policy.backoff)

    @cached_property
    def policy(self) -> RetryPolicy:
        from recordings.archive.failures import RetryPolicy

        return RetryPolicy(first=self.settings.retry_first_seconds, most=self.settings.retry_max_seconds)

    @cached_property
    def plugins(self) -> Plugins:
        from backends import BUILTINS
        from plugins.manager import load_plugins

        return load_plugins(BUILTINS, plugins_dir=self.settings.plugins_dir, disabled=self.settings.plugins_disabled)

    @cached_property
    def storages(self) -> dict[str, StorageBackend]:
        """The configured storages by their URL, which is also their name in the rows of copies."""
        return {url: self.storage(url) for url in self.settings.storage_url}

    def storage(self, url: str) -> StorageBackend:
        """A new backend for any storage URL. The caller closes it."""
        try:
            return self.plugins.backend(url, self.settings.backend_env)
        except StorageConfigurationError as error:
            raise SettingsError("STORAGE_URL", url, str(error)) from error

    @cached_property
    def token(self) -> ApplicationToken:
        from recordings.archive.credentials import ApplicationToken, load_private_key

        try:
            key = load_private_key(self.settings.vonage_private_key)
        except ValueError as error:
            raise SettingsError("VONAGE_PRIVATE_KEY", "***", str(error)) from None
        return ApplicationToken(self.settings.vonage_application_id, key)

    @cached_property
    def fetcher(self) -> Fetcher:
        from recordings.archive.fetch import Fetcher
        from recordings.archive.hosts import HostRule

        try:
            rule = HostRule.parse(self.settings.recording_hosts)
        except ValueError as error:
            raise SettingsError("RECORDING_HOSTS", " ".join(self.settings.recording_hosts), str(error)) from None
        return Fetcher(rule, self.token.mint, connections=self.settings.worker_threads)

    @cached_property
    def template(self) -> KeyTemplate:
        from recordings.keys import KeyTemplate

        try:
            return KeyTemplate(self.settings.storage_key_template)
        except StorageConfigurationError as error:
            raise SettingsError("STORAGE_KEY_TEMPLATE", self.settings.storage_key_template, str(error)) from error

    @cached_property
    def retrieval(self) -> Retrieval:
        from recordings.archive.retrieval import Retrieval

        return Retrieval(
            leases=self.leases,
            heartbeat=self.heartbeat,
            fetcher=self.fetcher,
            storages=self.storages,
            template=self.template,
            hooks=self.hooks,
            policy=self.policy,
            replicator=self.replicator,
            limits=self.limits,
            sidecars=self.sidecars,
        )

    @cached_property
    def hooks(self) -> LimitedHooks:
        """The plugins' hooks for threads that must not hang."""
        from recordings.archive.hooks import LimitedHooks
        from recordings.background import BackgroundWriter

        start = self.supervisor.start
        notices = BackgroundWriter("hooks", lambda call: call(), start, loss="a plugin is not told", limit=1000)
        return LimitedHooks(self.plugins, notices)

    @cached_property
    def replicator(self) -> Replicator:
        from recordings.archive.replicate import Replicator

        return Replicator(self.storages, self.storage)

    @cached_property
    def limits(self) -> StorageLimits:
        from recordings.archive.limits import StorageLimits

        return StorageLimits(self.settings.storage_url, self.settings.worker_threads)

    @cached_property
    def sidecars(self) -> SidecarWriter:
        from recordings.archive.sidecar import SidecarWriter

        return SidecarWriter(environment.VERSION)

    @cached_property
    def engine(self) -> Engine:
        from recordings.engine.engine import Engine

        work = self.retrieval.archive, self.leases, self.schedule, self.heartbeat
        run_by = self.tasks, self.supervisor, self.bell
        threads, full, beside = self.settings.worker_threads, self.limits.full, self.telling.loops()
        return Engine(*work, *run_by, threads=threads, full=full, beside=beside)

    @cached_property
    def workers(self) -> Workers:
        from recordings.catalogue.workers import Workers

        return Workers(self.database)

    @cached_property
    def serving(self) -> Serving:
        from serving import Serving

        return Serving(self)

    def start_embedded_worker(self) -> None:
        """Start the worker and the checks of this web process: for gunicorn's `post_worker_init`."""
        self.serving.begin()

    @cached_property
    def missing(self) -> MissingCalls:
        from recordings.catalogue.missing import MissingCalls

        grace, tell = self.settings.missing_grace_seconds, self.hooks.recording_missing
        return MissingCalls(self.database, grace=grace, tell=tell, events=self.telling.new_events)

    @cached_property
    def telling(self) -> Telling:
        from telling import Telling

        return Telling(self)

    @cached_property
    def inbox(self) -> Inbox:
        from recordings.catalogue.inbox import Inbox

        return Inbox(self.database, self.intake, retention_days=self.settings.delivery_retention_days)

    @cached_property
    def waveforms(self) -> WaveformMaker:
        from recordings.archive.waveforms import WaveformMaker
        from recordings.catalogue.waveforms import Waveforms

        return WaveformMaker(Waveforms(self.database), self.storages, self.supervisor.start)

    @cached_property
    def nightly(self) -> NightlyLists:
        from recordings.care.nightly import NightlyLists

        days, start = self.settings.nightly_list_days, self.supervisor.start
        return NightlyLists(self.database, self.storages, start, days=days, version=environment.VERSION)

    @cached_property
    def repair(self) -> Repair:
        from recordings.care.repair import Repair

        return Repair(self.storages, self.leases, self.policy, self.replicator, self.retrieval.carry_out)

    @cached_property
    def tasks(self) -> PeriodicTasks:
        from upkeep import periodic_tasks

        return periodic_tasks(self)

    @cached_property
    def interpreter(self) -> Interpreter:
        """What a stored delivery means by the settings of today."""
        from webhooks.replay import Interpreter

        return Interpreter(self._verifier(), self._flows(), self.settings.vonage_application_id)

    @cached_property
    def webhook_context(self) -> WebhookContext:
        from recordings.background import BackgroundWriter
        from webhooks.context import WebhookContext
        from webhooks.refused import RefusedDeliveries

        start = self.supervisor.start
        note_call, keep_refused = self.intake.note_call, self.inbox.keep_refused
        return WebhookContext(
            intake=self.intake,
            verifier=self._verifier(),
            flows=self._flows(),
            application_id=self.settings.vonage_application_id,
            answer_call=self.plugins.answer_call,
            call_notes=BackgroundWriter("call-notes", note_call, start, loss="a call was answered but is not noted"),
            refused=RefusedDeliveries(
                BackgroundWriter("refused", keep_refused, start, loss="a refused delivery is not kept")
            ),
        )

    def _verifier(self) -> Verifier:
        from webhooks.signature import Verifier

        secrets, unsigned = self.settings.vonage_signature_secret, self.settings.allow_unsigned_webhooks
        try:
            return Verifier(secrets, unsigned, self.settings.signature_max_age_seconds)
        except ValueError as error:
            raise SettingsError("VONAGE_SIGNATURE_SECRET", "***", str(error)) from None

    def _flows(self) -> FlowSettings:
        from webhooks.flows import FlowSettings

        chosen = self.settings
        names = ("public_url", "recording_format", "forward_to", "vonage_number", "greeting", "conversation_name")
        same = {name: getattr(chosen, name) for name in (*names, "hold_music_url")}
        return FlowSettings(default_flow=chosen.call_flow, moderators=frozenset(chosen.moderators), **same)

    # --- The end ------------------------------------------------------------------------------------------------------

    def stop_archiving(self) -> None:
        """Let the copies in work finish or give them back, while the last requests are answered. `close` follows."""
        close_all(beside_requests(dict(self.__dict__)), Deadline(CLOSE_SECONDS))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Let the copies in work finish or give them back; write what waits; close what is open.

        Every way out of a process comes through here. A part that fails to close, or not within `seconds` for all of
        them, is logged, and the rest is closed all the same. May be repeated: a closed part is forgotten, and made anew
        if it is used once more.
        """
        close_all(closings_of(self.__dict__), Deadline(seconds))
        for name in self.__dict__.keys() - {"settings", "problems"}:
            del self.__dict__[name]
