"""What the platforms tell an app about itself: where it runs, its own address, and whether a folder outlives a restart.

As in `settings_parsers` nothing here reads the environment: `settings` hands it in. Of the disk only the table of
mounts is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
MOUNTS = Path("/proc/self/mounts")

# File systems that lie in memory, or in the layers of a container: they end with it.
_FLEETING = ("tmpfs", "ramfs", "devtmpfs", "overlay", "aufs")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs")


@dataclass(frozen=True)
class Platform:
    """`variable` is set on this platform and nowhere else; `address` has its own variables in braces.

    Where it has `volumes`, a folder on a mounted one outlives a restart.
    """

    name: str
    variable: str
    address: str = ""
    volumes: bool = True


# The variables: https://devcenter.heroku.com/articles/dyno-metadata https://render.com/docs/environment-variables
# https://fly.io/docs/machines/runtime-environment https://docs.railway.com/reference/variables
# https://cloud.google.com/run/docs/container-contract#env-vars https://www.koyeb.com/docs/build-and-deploy
# https://learn.microsoft.com/en-us/azure/app-service/reference-app-settings
# https://learn.microsoft.com/en-us/azure/container-apps/environment-variables
PLATFORMS = (
    Platform("Render", "RENDER", "{RENDER_EXTERNAL_URL}"),
    Platform("Fly.io", "FLY_MACHINE_ID", "https://{FLY_APP_NAME}.fly.dev"),
    Platform("Railway", "RAILWAY_ENVIRONMENT_ID", "https://{RAILWAY_PUBLIC_DOMAIN}"),
    Platform("Koyeb", "KOYEB_APP_NAME", "https://{KOYEB_PUBLIC_DOMAIN}"),
    Platform("Google Cloud Run", "K_SERVICE"),
    Platform("Azure Container Apps", "CONTAINER_APP_NAME"),
    Platform("Azure App Service", "WEBSITE_INSTANCE_ID", "https://{WEBSITE_HOSTNAME}"),
    Platform("Dokku", "DOKKU_APP_NAME"),
    Platform("Heroku", "DYNO", "https://{HEROKU_APP_DEFAULT_DOMAIN_NAME}", volumes=False),
)
_DOKKU = next(platform for platform in PLATFORMS if platform.name == "Dokku")


def platform_of(environ: Mapping[str, str]) -> Platform | None:
    """The platform on which this process runs; None on a machine of one's own.

    Dokku sets `DYNO` as Heroku does, and further variables of its own name. https://dokku.com/docs/processes/process-management
    """
    if any(name.startswith("DOKKU_") and text for name, text in environ.items()):
        return _DOKKU
    return next((platform for platform in PLATFORMS if environ.get(platform.variable)), None)


def own_address(platform: Platform | None, environ: Mapping[str, str]) -> str:
    """The https address that the platform gave this app; empty where it does not tell."""
    template = platform.address if platform else ""
    names = re.findall(r"{(\w+)}", template)
    return template.format_map(environ) if all(environ.get(name) for name in names) else ""


class Mount(NamedTuple):
    """A mounted file system: where, and of which kind."""

    point: Path
    kind: str


def mount_of(path: Path, table: Path = MOUNTS) -> Mount | None:
    """The mount on which this path lies, or will lie once its folders are made; None where the system does not tell.

    https://man7.org/linux/man-pages/man5/proc_pid_mounts.5.html
    """
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
        path = path.resolve()
    except (OSError, RuntimeError, ValueError):  # no such table; a loop of links; a NUL in the path
        return None
    mounts = [Mount(Path(_unescaped(fields[1])), fields[2]) for line in lines if len(fields := line.split(" ")) > 2]
    holding = [mount for mount in mounts if path.is_relative_to(mount.point)]
    # Of two at the same place the later one covers the earlier one.
    return max(reversed(holding), key=lambda mount: len(mount.point.parts), default=None)


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)


def outlives_restart(path: Path, platform: Platform, table: Path = MOUNTS) -> bool:
    """Whether what is written there is still there after a restart on this platform.

    It is on a mounted volume. What holds the checkout is none: each release replaces it.
    """
    mount = mount_of(path, table) if platform.volumes else None
    return mount is not None and not ROOT.is_relative_to(mount.point) and mount.kind not in _FLEETING


def on_network(path: Path, table: Path = MOUNTS) -> str:
    """The kind of the network file system on which this path lies, such as `nfs4`; empty where it is none."""
    mount = mount_of(path, table)
    return mount.kind if mount and mount.kind in _NETWORK else ""
