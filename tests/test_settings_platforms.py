"""What the platforms' own variables change: the app's address, and which folders it may rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import ROOT, SettingsError, load, require_serving
from settings_platforms import PLATFORMS, mount_of, on_network, outlives_restart, own_address, platform_of

COMPLETE = {
    "VONAGE_APPLICATION_ID": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    "VONAGE_PRIVATE_KEY": "a key",
    "VONAGE_SIGNATURE_SECRET": "a secret",
    "PUBLIC_URL": "https://calls.example.com",
}
LASTING = {"DATABASE_URL": "postgres://h/d", "STORAGE_URL": "gs://bucket"}

ADDRESSES = [
    (
        {"DYNO": "web.1", "HEROKU_APP_DEFAULT_DOMAIN_NAME": "tapes-1a2b.herokuapp.com"},
        "https://tapes-1a2b.herokuapp.com",
    ),
    ({"DYNO": "web.1"}, ""),
    ({"DYNO": "web.1", "DOKKU_APP_NAME": "tapes"}, ""),
    ({"RENDER": "true", "RENDER_EXTERNAL_URL": "https://tapes.onrender.com"}, "https://tapes.onrender.com"),
    ({"FLY_MACHINE_ID": "148e", "FLY_APP_NAME": "tapes"}, "https://tapes.fly.dev"),
    (
        {"RAILWAY_ENVIRONMENT_ID": "0f8f", "RAILWAY_PUBLIC_DOMAIN": "tapes.up.railway.app"},
        "https://tapes.up.railway.app",
    ),
    ({"KOYEB_APP_NAME": "tapes", "KOYEB_PUBLIC_DOMAIN": "tapes-org.koyeb.app"}, "https://tapes-org.koyeb.app"),
    ({"WEBSITE_INSTANCE_ID": "a1", "WEBSITE_HOSTNAME": "tapes.azurewebsites.net"}, "https://tapes.azurewebsites.net"),
    ({"K_SERVICE": "tapes"}, ""),
    ({"CONTAINER_APP_NAME": "tapes"}, ""),
    ({"FLY_APP_NAME": "tapes"}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("environ", "address"), ADDRESSES)
def test_the_platforms_own_address_is_the_default_of_public_url(environ, address):
    assert load(environ).public_url == address
    assert load(environ | {"PUBLIC_URL": "https://calls.example.com"}).public_url == "https://calls.example.com"


def test_an_address_that_no_app_can_have_is_told_as_a_wrong_public_url():
    with pytest.raises(SettingsError, match=r"^PUBLIC_URL is 'https://a b\.fly\.dev': write the https address"):
        load({"FLY_MACHINE_ID": "148e", "FLY_APP_NAME": "a b"})


def test_on_heroku_a_missing_address_tells_how_heroku_names_it():
    rest = {name: text for name, text in COMPLETE.items() if name != "PUBLIC_URL"}
    with pytest.raises(SettingsError, match=r"^PUBLIC_URL is not set: .*labs:enable runtime-dyno-metadata"):
        require_serving(load(rest | LASTING | {"DYNO": "web.1"}))


# --- What outlives a restart -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, None),
        ({"DATABASE_URL": "sqlite:///x.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:////nowhere/x.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"STORAGE_URL": "file:///nowhere/recordings"}, "STORAGE_URL"),
        ({"STORAGE_URL": "file:///dev/shm/recordings"}, "STORAGE_URL"),
        ({"STORAGE_URL": ""}, "STORAGE_URL"),
        ({"STORAGE_URL": "gs://bucket file:///nowhere"}, "STORAGE_URL"),
        ({"STORAGE_URL": "mine://x"}, None),
        ({"DATABASE_URL": "", "STORAGE_URL": "", "ALLOW_EPHEMERAL_STORAGE": "true"}, None),
    ],
)
def test_on_a_platform_nothing_is_kept_on_a_disk_that_is_wiped(platform, changed, name):
    chosen = load(COMPLETE | LASTING | changed | {platform.variable: "x"})
    assert chosen.platform == platform
    if name is None:
        require_serving(chosen)
    else:
        wanted = f"^{name} is .*{platform.name} wipes this folder at a restart: .*ALLOW_EPHEMERAL_STORAGE=true"
        with pytest.raises(SettingsError, match=wanted) as caught:
            require_serving(chosen)
        assert ("a folder on a mounted volume" in str(caught.value)) == platform.volumes


def test_on_a_machine_of_ones_own_every_folder_will_do():
    require_serving(load(COMPLETE | {"DATABASE_URL": "", "STORAGE_URL": ""}))
    assert platform_of({"DYNO": "", "RENDER": ""}) is None
    assert own_address(None, {}) == ""


DOKKU, HEROKU = platform_of({"DYNO": "web.1", "DOKKU_APP_TYPE": "herokuish"}), platform_of({"DYNO": "web.1"})


@pytest.fixture
def table(tmp_path):
    """The mounts of a container with volumes, as Linux lists them."""
    lines = [
        "overlay / overlay rw,relatime 0 0",
        "tmpfs /dev/shm tmpfs rw 0 0",
        "/dev/vdb /data ext4 rw,relatime 0 0",
        "/dev/vdb /srv/two\\040words ext4 rw 0 0",
        "nas:/export /mnt/nas nfs4 rw 0 0",
        f"/dev/vdb {ROOT} ext4 rw 0 0",
        f"/dev/vdc {ROOT}/mounted ext4 rw 0 0",
        "tmpfs /data/scratch tmpfs rw 0 0",
        "/dev/vdd /twice ext4 rw 0 0",
        "tmpfs /twice tmpfs rw 0 0",
    ]
    path = tmp_path / "mounts"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("path", "lasts"),
    [
        ("/data", True),
        ("/data/recordings/2026", True),
        ("/srv/two words/x", True),
        ("/mnt/nas/recordings", True),
        (f"{ROOT}/mounted/recordings", True),
        (f"{ROOT}/var/recordings", False),
        ("/database", False),
        ("/data/scratch/x", False),
        ("/data/../srv/x", False),
        ("/dev/shm/x", False),
        ("/twice/x", False),
        ("/", False),
    ],
)
def test_a_mounted_volume_outlives_a_restart_and_nothing_else_does(table, path, lasts):
    assert outlives_restart(Path(path), DOKKU, table) is lasts
    assert not outlives_restart(Path(path), HEROKU, table)  # which has no volumes


def test_a_link_counts_as_the_place_that_it_leads_to(table, tmp_path):
    (tmp_path / "link").symlink_to("/data")
    assert outlives_restart(tmp_path / "link/recordings", DOKKU, table)


def test_where_the_system_tells_no_mounts_no_folder_is_relied_on(tmp_path):
    assert mount_of(Path("/data"), tmp_path / "absent") is None
    assert not outlives_restart(Path("/data"), DOKKU, tmp_path / "absent")
    assert on_network(Path("/data"), tmp_path / "absent") == ""


def test_a_network_file_system_is_known_as_one(table):
    assert on_network(Path("/mnt/nas/x.db"), table) == "nfs4"
    assert on_network(Path("/data/x.db"), table) == ""
