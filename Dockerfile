# One image, three commands: `loket serve` (API), `loket work` (worker), `loket migrate` (once per release).
# Give each LOKET_DATABASE_URL, LOKET_SECRET_KEY_FILE, LOKET_PUBLIC_URL and the settings of the systems (README), and 15
# seconds to stop (docker stop -t 15). To try all of it in one container, with the sandbox and a PostgreSQL of its own:
#   docker run --network host -e LOKET_HOST=127.0.0.1 -e LOKET_PRODUCTION=no IMAGE run
# On Kubernetes set enableServiceLinks: false, else a Service named loket puts variables of its own among our settings.
# No image was built where this was written, for want of a container engine; scripts/test runs the scripts that RUN lines run.
FROM python:3.11-slim AS build
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY scripts/image /source/scripts/image
COPY alembic /source/alembic
COPY src /source/src
RUN /source/scripts/image/install /opt/loket

FROM python:3.11-slim
# tini is the first process: it hands on signals, which the kernel keeps from a first process that has no handler yet.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/loket /opt/loket
COPY scripts/image/healthcheck /opt/loket/bin/healthcheck
COPY scripts/image/user /opt/loket/bin/user
RUN /opt/loket/bin/user && rm /opt/loket/bin/user
USER loket
WORKDIR /var/lib/loket
ENV PATH=/opt/loket/bin:$PATH LOKET_HOME=/var/lib/loket LOKET_HOST=0.0.0.0 LOKET_PRODUCTION=yes PYTHONUNBUFFERED=1
VOLUME /var/lib/loket
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["healthcheck"]
ENTRYPOINT ["tini", "--", "loket"]
CMD ["serve"]
