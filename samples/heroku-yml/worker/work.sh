#!/bin/sh
# Pretends to take jobs off a queue.
while :; do
  echo "working"
  if [ "${1-}" = --once ]; then exit 0; fi
  sleep 10
done
