# Muniment as a container: `docker run -v archive:/archive muniment serve`. Two stages, so that no development tool is in the result.
FROM node:26-bookworm-slim AS install
WORKDIR /muniment
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts
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
HEALTHCHECK --interval=60s --timeout=30s CMD ["/muniment/bin/muniment", "status"]
ENTRYPOINT ["/muniment/bin/muniment"]
CMD ["serve"]
