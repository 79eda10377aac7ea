# A server of images: docker build --tag ddpm-wasm . && docker run --rm --publish 127.0.0.1:8080:8080 ddpm-wasm
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY . .
# what the scripts of packages download is for GPUs and other runtimes
RUN npm ci --ignore-scripts --no-audit --no-fund \
  && npm run build \
  && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY --from=build /build/models ./models
USER node
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "--eval", "fetch('http://127.0.0.1:8080/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js", "serve", "--host", "0.0.0.0", "--port", "8080"]
# a bundled model, a URL, or a file of a volume; and what `ddpm-wasm serve --help` has
CMD ["fashion"]
