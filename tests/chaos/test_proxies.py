"""nginx and Caddy with the files of `deploy/`: what they make of a rolling restart, and of an app that is down."""

from __future__ import annotations

import signal

import pytest
import requests

from simulator.delivery import ANSWER_TIMEOUT
from simulator.processes import wait_for
from tests.chaos.watch import Watch
from tests.services.databases import NotInstalled
from tests.services.proxies import Caddy, Nginx
from tests.services.servers import give_up

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

NUMBER = "447700900001"
RESTARTS = 2


@pytest.fixture(params=[Nginx, Caddy], ids=["nginx", "caddy"])
def make_proxy(request, tmp_path):
    def make(port):
        try:
            return request.param(tmp_path / "proxy", port)
        except NotInstalled as missing:
            return give_up(missing)

    return make


def ask(proxy, method, path, body=None):
    return requests.request(method, f"{proxy.url}{path}", data=body, timeout=30)


def restart_in_turn(web):
    """New processes out of the code as it is now, and the old ones end; the socket stays."""
    old = set(web.children)
    web.signal(signal.SIGHUP)
    wait_for(lambda: len(web.children) == len(old) and not old & set(web.children), "all processes are new", 90)


def test_a_rolling_restart_behind_the_proxy_loses_no_call(make_deployment, make_proxy):
    deployment = make_deployment("embedded")
    (web,) = deployment.webs
    with deployment.running(), make_proxy(web.port) as proxy:
        deployment.door = proxy.url
        with Watch(deployment, rate=4) as watch:
            for _ in range(RESTARTS):
                restart_in_turn(web)
        watch.hold_to_promises(answer_seconds=ANSWER_TIMEOUT[1])
        assert NUMBER not in proxy.written()


def test_what_the_app_cannot_take_is_a_503_under_webhooks_and_says_no_number(make_gunicorn, make_proxy, tmp_path):
    web = make_gunicorn(tmp_path)
    with make_proxy(web.port) as proxy:
        judged = proxy.judge()
        assert judged.returncode == 0, judged.stderr
        for method, path in [
            ("POST", "/webhooks/recordings"),
            ("GET", f"/webhooks/answer?from={NUMBER}"),
            ("POST", "/webhooks/events?x=1"),
        ]:
            assert ask(proxy, method, path, "{}" if method == "POST" else None).status_code == 503, path
        assert ask(proxy, "GET", f"/recordings?number={NUMBER}").status_code == 502
        web.start()
        assert ask(proxy, "GET", "/healthz").status_code == 200
        assert ask(proxy, "POST", "/webhooks/recordings", "{}").headers["Content-Type"] == "application/json"
        web.kill()  # the connections that the proxy has kept lead nowhere now
        assert ask(proxy, "POST", "/webhooks/recordings", "{}").status_code == 503
        assert NUMBER not in proxy.written()
