# Tandem in a container: docs/deployment.md says what a container costs and what it must be given
# (--shm-size, --init, --stop-timeout; deploy/docker/compose.yaml has them all).

# The compiler stays in the first stage.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/tandem
COPY requirements.lock Makefile ./
COPY runtime/__init__.py runtime/native.py runtime/
# `make .venv/.ready` installs the pinned packages by their hashes, as on any machine.
RUN make .venv/.ready
COPY . .
# The compiled twins of hot code, where the build machine has a compiler; bytecode, as nobody writes later.
RUN .venv/bin/python -m runtime.native \
 && .venv/bin/python -m compileall -q . \
 && rm -f .venv/.built

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 970 tandem \
 && useradd --system --uid 970 --gid tandem --home-dir /opt/tandem --shell /usr/sbin/nologin tandem
WORKDIR /opt/tandem
COPY --from=build /opt/tandem /opt/tandem
# Journal, embedded database, kill file. Everything else is root's and read-only for the service.
RUN install --directory --owner=tandem --group=tandem --mode=0700 var
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/tandem/.venv/bin:$PATH
USER tandem
VOLUME /opt/tandem/var
STOPSIGNAL SIGTERM
# Not healthy: a pair is HALTED, a feed is away, or the supervisor is silent.
HEALTHCHECK --interval=15s --timeout=10s --start-period=90s --retries=3 \
    CMD ["python", "-m", "tools", "status", "--json"]
# Exec form: no shell stands between `docker stop` and the supervisor.
ENTRYPOINT ["python", "supervisor.py"]
