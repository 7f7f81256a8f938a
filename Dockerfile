# The image of the operator and of the runner: one, so that both always speak the same protocol.
# Every stage begins with Debian's own image, and Python is Debian's: one source of updates.
#
# Nothing is taken on trust: Debian's packages are signed, uv is installed by the hashes in
# requirements-uv.txt, and everything else, the builder of the wheel too, by those in uv.lock. For an
# image that can be built again, name the base by its digest: --build-arg BASE=debian@sha256:…

ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/podium \
    UV_PYTHON=/usr/bin/python3 \
    UV_PYTHON_DOWNLOADS=never
# A builder with authorities of its own mounts them into /usr/local/share/ca-certificates. The image
# itself gets Debian's, and none of the builder's.
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates python3 python3-venv \
    && cat /usr/share/ca-certificates/mozilla/*.crt > /opt/ca-certificates.crt \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements-uv.txt ./
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes -r requirements-uv.txt
# What Podium needs changes seldom and is large, Podium itself the other way round: each is a layer of
# its own. The second is installed for the Python of the first, into a directory that is laid over it.
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --no-dev --extra operator --extra mcp --no-install-project \
    && UV_PROJECT_ENVIRONMENT=/opt/builder /opt/uv/bin/uv sync --frozen --only-group build
COPY README.md LICENSE ./
COPY operator operator
RUN /opt/builder/bin/python3 -m hatchling build --target wheel --directory /opt/wheel \
    && /opt/uv/bin/uv pip install --python /opt/podium/bin/python3 --prefix /opt/own \
      --no-deps --offline --compile-bytecode /opt/wheel/*.whl

FROM ${BASE}
ARG BASE
LABEL org.opencontainers.image.title="podium" \
      org.opencontainers.image.description="DAG workflows on Kubernetes: the operator, and the runner of script and persona nodes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends bash git python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/*.log \
    && echo 'podium:x:65532:65532:podium:/tmp:/bin/bash' >> /etc/passwd \
    && echo 'podium:x:65532:' >> /etc/group
COPY --from=build /opt/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /opt/podium /opt/podium
COPY --from=build /opt/own /opt/podium
# The root file system is read-only where it runs: nothing may want to write bytecode, and there is
# none to write, for all of it was compiled above.
ENV PATH=/opt/podium/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
ENTRYPOINT ["podium"]
