# The images with a container engine: docker build --target gateway --tag chatcluster-gateway:0.1.0 .
# Targets: core (also migrates the database), worker, gateway, operator. `make images` makes the same files into images
# without an engine; both take them from `testkit images`.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential ca-certificates libssl-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /chatcluster
COPY . .
# the paths of this machine stay out of the binaries
ENV RUSTFLAGS="--remap-path-prefix=/usr/local/cargo=/cargo"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/chatcluster/target \
    cargo build --locked --release --package chatcluster-core --package chatcluster-worker \
      --package chatcluster-gateway --package chatcluster-operator --package chatcluster-testkit --bins \
 && target/release/testkit images --profile release --unpacked /images

# Nothing but the libraries, the public authorities and a user who owns nothing.
FROM scratch AS base
COPY --from=build /images/base/ /
ENV PATH=/usr/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /
USER 65532:65532
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.licenses=Apache-2.0

FROM base AS core
COPY --from=build /images/chatcluster-core/ /
LABEL org.opencontainers.image.title=chatcluster-core
EXPOSE 8081 9090
ENTRYPOINT ["/usr/bin/chatcluster-core"]

FROM base AS worker
COPY --from=build /images/chatcluster-worker/ /
LABEL org.opencontainers.image.title=chatcluster-worker
EXPOSE 8083
ENTRYPOINT ["/usr/bin/chatcluster-worker"]

FROM base AS gateway
COPY --from=build /images/chatcluster-gateway/ /
LABEL org.opencontainers.image.title=chatcluster-gateway
EXPOSE 8082 8084
ENTRYPOINT ["/usr/bin/chatcluster-gateway"]

FROM base AS operator
COPY --from=build /images/chatcluster-operator/ /
LABEL org.opencontainers.image.title=chatcluster-operator
EXPOSE 8080
ENTRYPOINT ["/usr/bin/chatcluster-operator"]
