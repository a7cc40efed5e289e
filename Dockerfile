# syntax=docker/dockerfile:1
FROM node:24-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# The one package with an install script brings a Node of its own; the image has one.
RUN npm ci --ignore-scripts
COPY scripts/build.ts scripts/build.ts
COPY src src
RUN node scripts/build.ts
COPY upstreams.yaml ./
RUN node -e "const { parseDocument } = require('yaml'), fs = require('fs'); \
  const file = parseDocument(fs.readFileSync('upstreams.yaml', 'utf8')); \
  file.setIn(['store', 'path'], '/data'); fs.writeFileSync('upstreams.yaml', String(file))"
RUN mkdir /data

# No shell and no package manager; runs with a read-only root, and writes to /data alone.
FROM gcr.io/distroless/nodejs24-debian13:nonroot
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/dist dist
COPY --from=build /build/upstreams.yaml /etc/layover/upstreams.yaml
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
VOLUME /data
EXPOSE 8080
ENV LAYOVER_HEALTH_URL=http://127.0.0.1:8080/livez
HEALTHCHECK --start-period=10s --interval=30s --timeout=5s \
  CMD ["/nodejs/bin/node", "-e", "fetch(process.env.LAYOVER_HEALTH_URL).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/nodejs/bin/node", "/app/dist/main.js"]
CMD ["serve", "--config", "/etc/layover/upstreams.yaml"]
