# Two stages: the first builds a wheel and installs it with everything it needs, the second runs it.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
# "[postgres]" for a record that several processes share.
ARG EXTRAS=""
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY engine engine
COPY rules rules
RUN python -m venv /opt/shopbell \
    && /opt/shopbell/bin/pip install --no-cache-dir --constraint constraints.txt ".${EXTRAS}"

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /shop shopbell \
    && install --directory --owner shopbell /shop /shop/var
COPY --from=build /opt/shopbell /opt/shopbell
COPY --chown=shopbell rules /shop/rules
ENV PATH=/opt/shopbell/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /shop
USER 10001
EXPOSE 8000
VOLUME ["/shop/var"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["shopbell"]
CMD ["serve"]
