# One image for every service: the command picks it. Targets: `service` (the last, the default) and `rehearsal`.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Names the compiler and what builds the pages, whose native parts are optional packages.
COPY scripts/package.json scripts/
RUN npm ci --omit=dev --ignore-scripts
COPY tsconfig.json tsconfig.build.json nest-cli.json ./
COPY apps apps
COPY libs libs
COPY cli cli
RUN npx nest build ingress
COPY web web
RUN node web/build.ts

FROM node:24-bookworm-slim AS production
WORKDIR /app
# Without scripts/package.json: npm then knows nothing of what only `npm start` needs.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force

# The upstream double of compose: the same code and the package that it stands on.
FROM node:24-bookworm-slim AS rehearsal
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules/@copilotkit node_modules/@copilotkit
COPY --from=build /app/node_modules/zod node_modules/zod
COPY --from=build /app/dist/libs dist/libs
USER node
CMD ["node", "dist/libs/rehearsal/rehearsal-main.js"]

FROM node:24-bookworm-slim AS service
ENV NODE_ENV=production
WORKDIR /app
COPY --from=production /app/package.json ./
COPY --from=production /app/node_modules node_modules
COPY --from=build /app/dist dist
# `docker compose exec accounting daypass`.
RUN chmod +x dist/cli/daypass.js && ln -s /app/dist/cli/daypass.js /usr/local/bin/daypass
# A new volume of compose takes the owner of the folder that it stands for: the user of the services may write there.
RUN install --directory --owner=node --group=node /secrets/services /secrets/accounting /secrets/redis /secrets/postgres
USER node
# As NODE_FLAGS in libs/launch/service-process.ts.
ENTRYPOINT ["node", "--import=data:text/javascript,import{setSourceMapsSupport}from'node:module';setSourceMapsSupport(true)", "--max-semi-space-size=8", "--heap-growing-percent=60", "--no-memory-reducer", "--no-flush-bytecode", "--disable-warning=ExperimentalWarning"]
CMD ["dist/apps/ingress/main.js"]
