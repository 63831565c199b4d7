# Muniment as a container. Two stages, so that no development tool is in the result. `--init` reaps what the detached database leaves; the
# stop time lets a run under way close with its report.
#   docker build -t muniment .
#   docker run --rm --init -v archive:/archive muniment init /archive --name … --origin … --timezone …
#   docker run -d --init --stop-timeout 120 -v archive:/archive muniment
FROM node:26-bookworm-slim AS install
WORKDIR /muniment
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts
COPY LICENSE ./
COPY bin bin
COPY src src
COPY migrations migrations
COPY demo/recordings demo/recordings

FROM node:26-bookworm-slim
COPY --from=install /muniment /muniment
# The archive's home; the embedded PostgreSQL, if one is used, lives in it too and runs as this same user.
RUN mkdir /archive && chown node:node /archive
USER node
ENV MUNIMENT_HOME=/archive
VOLUME /archive
# Unhealthy also when the last run of a source failed: `muniment status` ends with 5 then.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD ["/muniment/bin/muniment", "status"]
ENTRYPOINT ["/muniment/bin/muniment"]
CMD ["serve"]
