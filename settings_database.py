"""How DATABASE_URL becomes the URL that every part uses: judged once, at the start, by the driver's own rules.

As in `settings_parsers`: `ValueError` says what to write and never quotes the text; nothing connects.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent

_DATABASES = "write sqlite:///path/to/file.db or postgres://user:password@host/database"
_ESCAPES = (
    "in the user's name, the password and the parameters write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as "
    "%25, a space as %20"
)
# libpq reads these numbers only when it connects. https://www.postgresql.org/docs/current/libpq-connect.html
_NUMERIC = (
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    "tcp_user_timeout",
)
_NOWHERE = {"host": "/nonexistent/tapekeeper", "hostaddr": "", "port": "5432"}


def database_url(value: str) -> str:
    """SQLAlchemy's URL of the catalogue, which every part uses as it is."""
    if match := re.match(r"postgres(ql)?(\+psycopg)?://(?=.)", value):
        return _postgres_url(value[match.end() :])
    if match := re.match(r"sqlite:///(?=.)", value):
        return _sqlite_url(value[match.end() :])
    raise ValueError(_DATABASES)


def _sqlite_url(path: str) -> str:
    if "?" in path:
        raise ValueError("write the file's path alone: sqlite:///path/to/file.db takes no ? and no parameters")
    if ":memory:" in path or path.startswith("file:") or not path.isprintable() or _names_a_folder(path):
        raise ValueError(_DATABASES)
    return f"sqlite:///{ROOT / path}"


def _names_a_folder(path: str) -> bool:
    return path.rpartition("/")[2] in ("", ".", "..")


def _postgres_url(rest: str) -> str:
    """Heroku writes `postgres://`, which SQLAlchemy does not know; both Postgres forms get our driver's name.

    A password with a raw @, / or ? is read by each parser in another way, so it is refused: nobody may learn a piece of
    it as the name of a host.
    """
    from sqlalchemy import make_url  # slow to import, and the parts that use a database import it anyway
    from sqlalchemy.exc import ArgumentError

    if not rest.isprintable() or rest.count("@") > 1 or re.search(r"[\s#]|%00|[/?].*@", rest):
        raise ValueError(_ESCAPES)
    try:
        url = make_url(f"postgresql+psycopg://{rest}")
    except (ArgumentError, ValueError):  # such as a port that is no number
        raise ValueError(_DATABASES) from None
    if not re.fullmatch(r"[\w.,-]*|[0-9A-Fa-f:.]+(%\w+)?", url.host or "") or not 0 < (url.port or 5432) < 65536:
        raise ValueError(f"{_DATABASES}; for a Unix socket postgres:///database?host=/its/folder")
    if url.query:
        _check_parameters({name: _text_of(values) for name, values in url.query.items()})
    return f"postgresql+psycopg://{rest}"


def _text_of(values: str | tuple[str, ...]) -> str:
    return values if isinstance(values, str) else ",".join(values)


def _check_parameters(query: dict[str, str]) -> None:
    """Let the driver itself judge the parameters, without a server.

    libpq judges them before it connects, so it is told to connect to a socket that cannot be there.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PQCONNECTSTARTPARAMS
    """
    from psycopg import pq  # slow to import, so only where there are parameters
    from psycopg.conninfo import make_conninfo

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    wrong = [name for name in query if name not in known]
    wrong += [name for name in query if name in _NUMERIC and not re.fullmatch(r"-?[0-9]{1,9}", query[name])]
    if not wrong:
        # An empty address keeps PGHOSTADDR out.
        attempt = pq.PGconn.connect_start(make_conninfo("", **{**query, **_NOWHERE}).encode())
        message = attempt.get_error_message()
        attempt.finish()
        if _NOWHERE["host"] not in message:
            wrong = [name for name in query if name in message] or list(query)
    if wrong:
        raise ValueError(
            f"take out or mend {', '.join(sorted(wrong))}, which the Postgres driver does not accept; it knows "
            "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"
        )
