# syntax=docker/dockerfile:1
ARG V=1
FROM --platform=$BUILDPLATFORM golang:${V} AS build
ARG A SECRET TARGETOS=$TARGETOS
WORKDIR /src
COPY --link go.* ./
RUN --mount=type=cache,target=/root/.cache,sharing=locked --mount=type=secret,id=t,env=T go build
FROM ctx AS assets
FROM build AS test
ONBUILD RUN x
RUN --network=none <<EOT
#!/bin/sh
test
EOT
FROM scratch
COPY --from=build --chown=1:2 --chmod=u+x /a/./b* /c/
COPY --from=0 --parents /x/./y /z
ENV B=${A:-x}$SECRET
USER 1000:app
