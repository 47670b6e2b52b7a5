# One image with everything that requirements.lock pins:  docker build -t tissuemake .
# For clusters:  apptainer build tissuemake.sif docker-daemon://tissuemake:latest
# The torch of the package index is the one for CUDA; a node without a GPU runs it as well.
FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends git procps \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/tissuemake
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir uv \
 && uv pip install --system --no-cache --compile-bytecode -r requirements.lock
COPY Snakefile ./
COPY workflow workflow
COPY config config
COPY profiles profiles
COPY resources resources
COPY envs envs
RUN uv pip install --system --no-cache --no-deps --editable .
ENV OMP_NUM_THREADS=1
WORKDIR /run
ENTRYPOINT ["snakemake", "--snakefile", "/opt/tissuemake/Snakefile"]
