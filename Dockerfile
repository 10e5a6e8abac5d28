# Two images from one file: the operator, without Ray, and the executor, with Ray and the text stages.
#
#   docker build --target operator -t curator/operator:0.1.0 .
#   docker build --target executor -t curator/executor:0.1.0 .
#
# PYTHON_IMAGE is any Debian or Ubuntu with Python 3.11 or newer, venv and pip.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS python
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# Our own wheel. What builds it is pinned too, and stays here.
FROM python AS wheel
COPY requirements/build.txt /build/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r /build/build.txt
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY crds/curator_api crds/curator_api
COPY operator/curator_operator operator/curator_operator
COPY executor/curator_executor executor/curator_executor
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python AS operator-packages
COPY requirements/operator.txt /build/
RUN python3 -m venv --without-pip /opt/curator \
    && python3 -m pip --python /opt/curator/bin/python install --require-hashes -r /build/operator.txt
COPY --from=wheel /wheels /wheels
# Three quarters of the Kubernetes client are a class for each API group, which load when they are
# named; the operator makes its requests itself, and names none.
RUN python3 -m pip --python /opt/curator/bin/python install --no-deps --no-index /wheels/*.whl \
    && cd /opt/curator/lib/python3*/site-packages/kubernetes \
    && rm -rf client/api aio/client/api client/models/__pycache__ aio/client/models/__pycache__ \
    && /opt/curator/bin/python -c "import curator_operator.__main__, curator_operator.uninstall"

FROM python AS operator
LABEL org.opencontainers.image.title="curator-operator" \
      org.opencontainers.image.description="Runs CuratorPipeline resources on Ray clusters" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=operator-packages /opt/curator /opt/curator
ENV PATH=/opt/curator/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
CMD ["python", "-m", "curator_operator"]

# Ray alone, with what its own images have for data, so that a change of our own requirements
# leaves it as it is. KubeRay's probes call bash and wget; Ray's dashboard reads processes with ps.
FROM python AS ray
RUN command -v wget > /dev/null && command -v ps > /dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends wget procps \
        && rm -rf /var/lib/apt/lists/*)
COPY requirements/ray.txt /build/
RUN python3 -m venv /opt/curator \
    && /opt/curator/bin/pip install --require-hashes -r /build/ray.txt \
    && find /opt/curator/lib -depth -type d \( -name tests -o -name test \) -exec rm -rf {} +

FROM ray AS executor
LABEL org.opencontainers.image.title="curator-executor" \
      org.opencontainers.image.description="Runs data-curation pipelines on Ray" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY requirements/executor.txt /build/
# Not shipped: other packages' tests, what botocore knows of services other than storage, and the
# names of countries in other languages.
RUN /opt/curator/bin/pip install --require-hashes -r /build/executor.txt \
    && cd /opt/curator/lib/python3*/site-packages \
    && find . -depth -type d \( -name tests -o -name test \) -exec rm -rf {} + \
    && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name 's3*' ! -name 'sso*' ! -name sts \
        -exec rm -rf {} + \
    && rm -rf pycountry/locales
COPY --from=wheel /wheels /build/wheels
RUN /opt/curator/bin/pip install --no-deps --no-index /build/wheels/*.whl \
    && useradd --uid 1000 --create-home curator
ENV PATH=/opt/curator/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /home/curator
CMD ["curator", "--help"]
