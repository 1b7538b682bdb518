FROM a AS base
ONBUILD COPY --from=b /f /f
EXPOSE 80 443/TCP 8000-8010/udp
HEALTHCHECK --interval=30s CMD curl
LABEL a="b c" d=$e
VOLUME ["/a", "/b"]
STOPSIGNAL RTMIN+3
SHELL ["/bin/bash", "-c"]
ENTRYPOINT x
FROM base
ADD --checksum=abc https://h.example/r.git?ref=a&submodules=0#a:b /d
ADD https://u:p@h.example/f?token=x /f
COPY <<A <<-"B" /h/
$A \$
A
	b
	B
CMD []
COPY . .
