"""One Vonage application's ids and secrets, and the settings of a deployment of ours for tests and benchmarks.

The processes themselves are in `simulator.application`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

APPLICATION_ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
SIGNATURE_SECRET = "a-signature-secret-that-is-long-enough"


def pem_of(key: rsa.RSAPrivateKey) -> str:
    """The key as the dashboard gives it: PKCS#8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def settings_below(folder: Path, private_key: str, **changes: str) -> dict[str, str]:
    """The settings of a deployment that keeps its catalogue, its recordings and its plugins below `folder`.

    PUBLIC_URL is not among them: `simulator.application.Application` sets its own address.
    """
    return {
        "VONAGE_APPLICATION_ID": APPLICATION_ID,
        "VONAGE_PRIVATE_KEY": private_key,
        "VONAGE_SIGNATURE_SECRET": SIGNATURE_SECRET,
        "DATABASE_URL": f"sqlite:///{folder}/tapekeeper.db",
        "STORAGE_URL": f"file://{folder}/recordings",
        "PLUGINS_DIR": f"{folder}/plugins",
        "FORWARD_TO": "447700900002",
        "VONAGE_NUMBER": "447700900000",
        **changes,
    }


def without_places(settings: Mapping[str, str]) -> dict[str, str]:
    """The same for a deployment that has places of its own for its catalogue, its recordings and its plugins."""
    places = ("DATABASE_URL", "STORAGE_URL", "PLUGINS_DIR")
    return {name: text for name, text in settings.items() if name not in places}
