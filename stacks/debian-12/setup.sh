#!/usr/bin/env bash
# Finishes a freshly installed root of the debian-12 stack. Runs as root inside the new root, once
# after run.packages and once more after build.packages, so every step may be repeated.
set -euo pipefail
shopt -s nullglob dotglob

readonly APP_USER=app APP_UID=1000 APP_GROUP=dyno APP_GID=1000

setup::locales() {
  # C.UTF-8 is part of libc-bin; en_US.UTF-8 is what the language packs of Heroku's stacks expect.
  if ! localedef --list-archive 2>/dev/null | grep -qx 'en_US.utf8'; then
    localedef --inputfile en_US --charmap UTF-8 --alias-file /usr/share/locale/locale.alias en_US.UTF-8
  fi
}

setup::user() {
  getent group "$APP_GROUP" >/dev/null || groupadd --gid "$APP_GID" "$APP_GROUP"
  getent passwd "$APP_USER" >/dev/null || useradd --uid "$APP_UID" --gid "$APP_GID" \
    --home-dir /app --no-create-home --shell /bin/bash "$APP_USER"
  install -d -m 0755 -o "$APP_USER" -g "$APP_GROUP" /app
  # useradd writes today's date as the day of the last password change.
  sed -i "s/^\($APP_USER:[^:]*\):[0-9]*:/\1::/" /etc/shadow
}

setup::apt() {
  # Buildpacks run `cat /etc/apt/sources.list` and read sources.list.d: both have to be there. What
  # the installer wrote moves to sources.list.d, so that apt keeps the mirror this root came from.
  if [[ -s /etc/apt/sources.list ]]; then
    mv /etc/apt/sources.list /etc/apt/sources.list.d/stack.list
  fi
  : >/etc/apt/sources.list
  # Security suites of an old snapshot expire; their signatures are checked all the same.
  printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'Acquire::Languages "none";' \
    >/etc/apt/apt.conf.d/90stack
}

# Everything that depends on the day, the machine or the order of the install.
setup::reproducible() {
  rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache
  rm -rf /var/lib/dpkg/*-old /var/log/* /tmp/* /var/tmp/* /run/*
  rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock
  rm -f /var/lib/dbus/machine-id /etc/hostname
  : >/etc/machine-id
  # While the build root is made, the builder's own resolv.conf is mounted over ours, read-only.
  if ! mountpoint -q /etc/resolv.conf; then
    : >/etc/resolv.conf
  fi
  install -d -m 0755 /var/lib/apt/lists/partial /var/cache/apt/archives/partial
  find /usr/lib/python3* /usr/share/python3 -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
}

setup::locales
setup::user
setup::apt
setup::reproducible
