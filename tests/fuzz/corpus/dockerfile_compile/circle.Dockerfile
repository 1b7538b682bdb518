# check=error=true;skip=all
FROM a AS x
RUN --mount=from=y,target=/x --mount=type=tmpfs,target=/t,size=1m --mount=type=ssh z
FROM b AS y
COPY --from=x f /
