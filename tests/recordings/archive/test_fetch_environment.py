"""Proxies and certificates come from the environment; cookies and the bodies of redirects are left alone."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.errors import SourceUnavailable

AUDIO = b"\xff\xfb" + bytes(1000)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Handler(BaseHTTPRequestHandler):
    """Serves the audio with a cookie; below /moved a redirect whose body never ends. The server notes each request."""

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        if self.path.endswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/audio")
            self.end_headers()
            while not self.server.closing.is_set():
                self.wfile.write(bytes(1 << 16))
        self.send_response(200)
        self.send_header("Content-Length", str(len(AUDIO)))
        self.send_header("Set-Cookie", "seen=yes; Path=/")
        self.end_headers()
        self.wfile.write(AUDIO)

    def log_message(self, *words):
        pass


@contextmanager
def serving(context=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.closing = [], threading.Event()
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that closes the connection is expected here
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.origin = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch):
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def certificate(tmp_path, rsa_key):
    """A certificate for 127.0.0.1 that no authority signed, and its key, in one PEM file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, rsa_key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    )
    key = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "server.pem"
    path.write_bytes(builder.sign(rsa_key, SHA256()).public_bytes(Encoding.PEM) + key)
    return path


def fetch(fetcher, url):
    with fetcher.open(url, len(AUDIO)) as audio:
        return audio.read()


def make_fetcher(origin, token):
    return Fetcher(HostRule.parse([origin]), token.mint)


def test_a_request_goes_through_the_proxy_that_the_environment_names(server, token, monkeypatch):
    origin = "http://files.invalid:80"
    monkeypatch.setenv("HTTP_PROXY", server.origin)
    monkeypatch.setenv("http_proxy", server.origin)
    assert fetch(make_fetcher(origin, token), "http://files.invalid/audio") == AUDIO
    ((path, headers),) = server.requests
    assert path == "http://files.invalid/audio"
    assert headers["Authorization"].startswith("Bearer ")


def test_a_host_in_no_proxy_is_asked_directly(server, token, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(make_fetcher(server.origin, token), f"{server.origin}/audio") == AUDIO


def test_a_certificate_of_requests_ca_bundle_is_trusted_and_no_other(certificate, token, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as server:
        with pytest.raises(SourceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(make_fetcher(server.origin, token), f"{server.origin}/audio")
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert fetch(make_fetcher(server.origin, token), f"{server.origin}/audio") == AUDIO


def test_no_cookie_is_kept_for_the_next_request(server, token):
    fetcher = make_fetcher(server.origin, token)
    for _ in range(2):
        fetch(fetcher, f"{server.origin}/audio")
    assert ["Cookie" in headers for _, headers in server.requests] == [False, False]


def test_the_endless_body_of_a_redirect_is_not_read(server, token):
    assert fetch(make_fetcher(server.origin, token), f"{server.origin}/moved") == AUDIO
    assert [path for path, _ in server.requests] == ["/moved", "/audio"]


def test_a_closed_fetcher_opens_new_connections(server, token):
    fetcher = make_fetcher(server.origin, token)
    fetch(fetcher, f"{server.origin}/audio")
    fetcher.close()
    assert fetch(fetcher, f"{server.origin}/audio") == AUDIO
