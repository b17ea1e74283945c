# A stand-in for the image eclipse-mosquitto, made from Debian's package.
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null && \
    mkdir -p /mosquitto/data && chown 1883:1883 /mosquitto/data
