# One image, three commands: `loket serve` (API), `loket work` (worker), `loket migrate` (once per release).
# Give each LOKET_DATABASE_URL, LOKET_SECRET_KEY_FILE and the settings of the systems (README). `loket run` tries all
# of it in one container, with a PostgreSQL of its own; keep /var/lib/loket then.
# No image was built where this was written, for want of a container engine; scripts/test runs what the RUN lines run.
FROM python:3.11-slim AS build
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY scripts/image /source/scripts/image
COPY alembic /source/alembic
COPY src /source/src
RUN /source/scripts/image/install /opt/loket

FROM python:3.11-slim
COPY --from=build /opt/loket /opt/loket
COPY scripts/image/healthcheck /opt/loket/bin/healthcheck
COPY scripts/image/user /opt/loket/bin/user
RUN /opt/loket/bin/user && rm /opt/loket/bin/user
USER loket
WORKDIR /var/lib/loket
ENV PATH=/opt/loket/bin:$PATH LOKET_HOME=/var/lib/loket LOKET_HOST=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /var/lib/loket
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["healthcheck"]
ENTRYPOINT ["loket"]
CMD ["serve"]
