# docker build -t mixframe . && docker run --rm -it -v "$PWD":/study -w /study mixframe mixframe --help
#
# The environment of requirements.lock with the package in it; a project is made with `mixframe init`.
# With --gpus all it uses the GPU of its host.
FROM python:3.11-slim-bookworm AS build
# The compiler is for pyworld alone, and stays behind.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ git \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/mixframe
ENV PATH=/opt/mixframe/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock /build/
RUN pip install --require-hashes -r /build/requirements.lock
COPY . /build
RUN pip install --no-deps --no-build-isolation /build

FROM python:3.11-slim-bookworm
# git for DVC; apt-get, which the image has, fetches the demo's speech.
RUN apt-get update && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/mixframe /opt/mixframe
ENV PATH=/opt/mixframe/bin:$PATH DVC_NO_ANALYTICS=1
WORKDIR /study
CMD ["mixframe", "--help"]
