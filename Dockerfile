# syntax=docker/dockerfile:1

# One image runs everything: `fairlead operator`, `fairlead extproc`, `fairlead envoy`, and simulated pods for a try.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag REGISTRY/fairlead:0.1.0 --push .
#
# Both bases are pinned by version. To pin them by content too, ask for the digest and give it along:
#   docker buildx imagetools inspect docker.io/library/node:24.21.0-bookworm-slim --format '{{.Manifest.Digest}}'
#   docker build --build-arg NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim@sha256:… .
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim
# The version that the configuration is generated for and tested with (cli/setup/envoy-binary.ts).
ARG ENVOY_IMAGE=docker.io/envoyproxy/envoy:distroless-v1.40.0

FROM ${ENVOY_IMAGE} AS envoy

FROM ${NODE_IMAGE} AS packages
WORKDIR /opt/fairlead
COPY package.json package-lock.json ./
# The optional packages are a Node of their own, which this image has already.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE} AS fairlead
LABEL org.opencontainers.image.title="Fairlead" \
      org.opencontainers.image.description="One address for every model that a company runs" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/fairlead
COPY --from=envoy /usr/local/bin/envoy /usr/local/bin/envoy
# What Envoy trusts where an issuer's keys are fetched by https. Node has authorities of its own, and its image no file.
COPY --from=envoy /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=packages /opt/fairlead/node_modules node_modules
COPY package.json LICENSE ./
COPY agent agent
COPY cli cli
COPY crds crds
COPY errors errors
COPY extproc extproc
COPY operator operator
COPY proto proto
COPY sim sim
COPY telemetry telemetry
COPY xds xds
RUN ln -s /opt/fairlead/cli/bin/fairlead /usr/local/bin/fairlead
ENV NODE_ENV=production FAIRLEAD_NODE=/usr/local/bin/node FAIRLEAD_ENVOY=/usr/local/bin/envoy \
    NODE_COMPILE_CACHE=/opt/fairlead/compile-cache
# Nobody's number on most systems; the chart says the same. Nothing in the image is writable, and need not be.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/fairlead"]

# Compiled by the user that runs it: Node looks for what its own version made for this user and for a CPU with the same
# features. Elsewhere everything works too, but takes 20 MB more and longer to start.
FROM fairlead AS compiled
USER root
RUN install --directory --owner=65532 "$NODE_COMPILE_CACHE"
USER 65532:65532
RUN node cli/setup/compile-cache.ts && fairlead --version && chmod -R a+rX "$NODE_COMPILE_CACHE"

FROM fairlead
COPY --from=compiled /opt/fairlead/compile-cache compile-cache
