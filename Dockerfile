# One image for web and worker: `docker run IMAGE` serves, `docker run IMAGE flask worker` archives. docs/deploy.md
FROM python:3.13-slim AS build
RUN python -m venv --without-pip /venv
COPY requirements.txt /app/
RUN pip --no-cache-dir --disable-pip-version-check --python /venv/bin/python \
    install --require-hashes --no-deps -r /app/requirements.txt
COPY . /app/
# Compiled here, because the root is read-only where it runs.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

FROM python:3.13-slim
# A volume that is mounted at /data for the first time takes this owner over.
RUN install -d -m 0700 -o 10001 -g 10001 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PORT=8000 \
    DATABASE_URL=sqlite:////data/tapekeeper.db \
    STORAGE_URL=file:///data/recordings
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["gunicorn", "wsgi:create_app()"]
