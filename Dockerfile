# itsbox in a container: non-root, fit for a read-only root file system, healthy when /healthz answers.
#
# The first stage installs the package and its pinned dependencies into /opt/itsbox; the second has neither pip's cache nor the
# source. docker-compose.yml says how to run it.

FROM python:3.13-slim-bookworm AS build
ENV PIP_CONSTRAINT=/src/constraints.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service ./service
RUN python -m venv /opt/itsbox \
    && /opt/itsbox/bin/pip install .

FROM python:3.13-slim-bookworm
COPY --from=build /opt/itsbox /opt/itsbox
# Whoever can reach the port must show a key: the service refuses to bind this address without ITSBOX_API_KEYS.
ENV ITSBOX_HOST=0.0.0.0 \
    ITSBOX_PORT=8321 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8321
STOPSIGNAL SIGTERM
# The image has no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["/opt/itsbox/bin/python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['ITSBOX_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["/opt/itsbox/bin/itsbox"]
CMD ["serve"]
