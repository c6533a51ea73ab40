# One recipe for all the services:  docker build --build-arg SERVICE=scheduler -t edgecore/scheduler .
# Dependencies come first and apart from the code, those that all services share before the service's own, so that
# a change of code rebuilds seconds of work, and the seven images share their largest layers.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS chassis
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
COPY --chmod=0755 images/third-party /usr/local/bin/
COPY constraints.txt /app/
COPY libs/contracts/pyproject.toml /app/libs/contracts/
COPY libs/runtime/pyproject.toml /app/libs/runtime/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    third-party /app/libs/runtime | pip install -q -c /app/constraints.txt -r /dev/stdin

FROM chassis
ARG SERVICE
COPY libs/aiprod/pyproject.toml /app/libs/aiprod/
COPY services/${SERVICE}/pyproject.toml /app/services/${SERVICE}/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    third-party /app/services/${SERVICE} | pip install -q -c /app/constraints.txt -r /dev/stdin

# Our own packages stay a source tree, as on a laptop: a service finds its migrations beside its `src`.
COPY libs /app/libs
COPY services/${SERVICE} /app/services/${SERVICE}
RUN useradd --system --uid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin edgecore \
    && ls -d /app/*/*/src > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/edgecore.pth" \
    && printf '#!/bin/sh\nexec python -m edgecore_%s "$@"\n' "${SERVICE}" > /usr/local/bin/service \
    && chmod 0755 /usr/local/bin/service \
    && python -m compileall -q /app \
    && service settings > /dev/null

WORKDIR /tmp
USER 10001:10001
ENV EDGECORE_HTTP_HOST=0.0.0.0 EDGECORE_GRPC_HOST=0.0.0.0
EXPOSE 8080
ENTRYPOINT ["service"]
CMD ["serve"]
