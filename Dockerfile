# Muniment as a container. Two stages, so that no source and no development tool is in the result. `--init` reaps what the detached database leaves; the
# stop time lets a run under way close with its report.
#   docker build -t muniment .
#   docker run --rm --init -v archive:/archive muniment init /archive --name … --origin … --timezone …
#   docker run -d --init --stop-timeout 120 -v archive:/archive muniment
FROM node:26-bookworm-slim AS build
WORKDIR /muniment
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY bin bin
COPY scripts/build.ts scripts/
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:26-bookworm-slim
WORKDIR /muniment
COPY package.json LICENSE README.md ./
COPY bin bin
COPY migrations migrations
COPY demo/recordings demo/recordings
COPY --from=build /muniment/node_modules node_modules
COPY --from=build /muniment/dist dist
# The commands are on the path: `docker exec ARCHIVE muniment status`.
RUN ln -s /muniment/bin/muniment /usr/local/bin/muniment
# The archive's home; the embedded PostgreSQL, if one is used, lives in it too and runs as this same user.
RUN mkdir /archive && chown node:node /archive
USER node
ENV MUNIMENT_HOME=/archive
VOLUME /archive
# Unhealthy also when the last run of a source failed: `muniment status` ends with 5 then.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD ["muniment", "status"]
ENTRYPOINT ["muniment"]
CMD ["serve"]
