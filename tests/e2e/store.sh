#!/bin/bash
# A store that is damaged, foreign or full: told with its cause, never misread, and the next build
# works.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# An app of some size whose pack fills a cache, built once into $dir/first.tgz.
new_built_app() {
  new_app
  expect_exit 0 build
  mv out.tgz first.tgz
}

new_app() {
  new_dir case
  mkdir app
  head -c 400000 /dev/urandom >app/noise
  new_pack "$dir/pack" <<<'head -c 200000 "$1/noise" >"$2/kept"; cp "$1/noise" "$1/copy"'
}

build() { slipway build "$dir/app" --stack host --progress plain -b "$dir/pack" --slug "$dir/out.tgz"; }

next_build_is_the_same() {
  rm -f out.tgz
  expect_exit 0 build
  cmp out.tgz first.tgz
  expect_exit 0 slipway cache verify
  contains "$out" "the store is sound"
}

# --- damaged ---

test_truncated_pack() {
  new_built_app
  truncate -s 100 "$SLIPWAY_HOME"/packs/*
  expect_exit 6 slipway cache verify
  contains "$out" "pack "
  contains "$out" "dropped; it is made again when needed"
  next_build_is_the_same
}

# Nobody ran verify: the slug is put together from a pack that lies.
test_flipped_bytes_never_reach_a_slug() {
  new_built_app
  local file size
  for file in "$SLIPWAY_HOME"/packs/*; do
    size=$(stat -c %s "$file")
    printf 'XXXXXXXX' | dd of="$file" bs=1 seek=$((size / 2)) conv=notrunc status=none
  done
  expect_exit 0 build
  contains "$err" "compressing it anew"
  cmp out.tgz first.tgz
  next_build_is_the_same
}

# Of many chunks: one build mends them all, and says so.
test_lost_packs() {
  new_app
  head -c 12000000 /dev/urandom >app/large
  expect_exit 0 build
  mv out.tgz first.tgz
  rm "$SLIPWAY_HOME"/packs/*
  expect_exit 0 build
  contains "$err" "in the store is damaged: missing; compressing it anew"
  next_build_is_the_same
  lacks "$err" "damaged"
}

test_lost_and_damaged_trees() {
  new_built_app
  find "$SLIPWAY_HOME/trees" -type f -exec truncate -s 20 {} +
  expect_exit '0|6' build
  if [[ $(wc -l <"$err") -lt 3 ]]; then contains "$err" "damaged"; fi
  next_build_is_the_same
  find "$SLIPWAY_HOME/trees" -type f -delete
  expect_exit '0|6' build
  next_build_is_the_same
}

test_lost_index() {
  new_built_app
  rm "$SLIPWAY_HOME"/index.sqlite*
  expect_exit 0 build
  contains "$err" "warning: "
  next_build_is_the_same
}

test_damaged_index() {
  new_built_app
  head -c 40000 /dev/urandom >"$SLIPWAY_HOME/index.sqlite"
  rm -f "$SLIPWAY_HOME"/index.sqlite-*
  expect_exit 0 build
  contains "$err" "index"
  cmp out.tgz first.tgz
  compgen -G "$SLIPWAY_HOME/index.sqlite.bad-*" >/dev/null || fail "the damaged index was not set aside"
  next_build_is_the_same
}

test_truncated_index() {
  new_built_app
  truncate -s 5000 "$SLIPWAY_HOME/index.sqlite"
  expect_exit '0|6' build
  if grep -q '^error:' "$err"; then contains "$err" "hint: run the command again"; fi
  next_build_is_the_same
}

test_lost_stat_cache_and_key() {
  new_built_app
  find "$SLIPWAY_HOME/stat" -type f -exec sh -c 'echo junk >"$1"' _ {} \;
  next_build_is_the_same
  printf 'short' >"$SLIPWAY_HOME/key"
  expect_exit '0|6' build
  if grep -q '^error:' "$err"; then contains "$err" "hint: "; fi
}

# --- foreign ---

test_unknown_format_is_refused() {
  new_built_app
  local before
  echo "slipway-store 99" >"$SLIPWAY_HOME/format"
  before=$(find "$SLIPWAY_HOME" | sort | sha256sum)
  local command
  for command in "build app --stack host" "cache du" "cache prune" "cache verify" "stack ls"; do
    # shellcheck disable=SC2086
    expect_exit 6 slipway $command
    contains "$err" "error: unknown store format 'slipway-store 99' in $SLIPWAY_HOME"
    contains "$err" "hint: use another SLIPWAY_HOME or remove it"
  done
  equal "$(find "$SLIPWAY_HOME" | sort | sha256sum)" "$before"
  echo "slipway-store 1" >"$SLIPWAY_HOME/format"
  next_build_is_the_same
}

test_somebodys_folder_is_no_store() {
  new_dir case
  mkdir "$dir/mine"
  echo precious >"$dir/mine/letter"
  SLIPWAY_HOME=$dir/mine expect_exit 6 slipway cache du
  contains "$err" "$dir/mine"
  contains "$err" "hint: "
  equal "$(ls -A "$dir/mine")" letter
}

test_another_users_store_is_refused() {
  need_root
  new_built_app
  chmod 755 "$test_state"
  expect_exit 6 as_user env SLIPWAY_HOME="$SLIPWAY_HOME" "$house/slipway" build "$dir/app" --stack host
  contains "$err" "error: the store $SLIPWAY_HOME belongs to 'root' (uid 0), this is 'slipwaytest'"
  contains "$err" "hint: set SLIPWAY_HOME to a directory of your own"
}

test_state_is_private() {
  new_built_app
  equal "$(stat -c %a "$SLIPWAY_HOME")" 700
  equal "$(stat -c %a "$SLIPWAY_HOME/key")" 600
  if [[ -n $(find "$SLIPWAY_HOME" -maxdepth 1 -type f -perm /077) ]]; then
    fail "others may read: $(find "$SLIPWAY_HOME" -maxdepth 1 -type f -perm /077)"
  fi
  # Made too open by somebody: closed again.
  chmod 777 "$SLIPWAY_HOME"
  expect_exit 0 slipway cache du
  equal "$(stat -c %a "$SLIPWAY_HOME")" 700
}

# --- full ---

# mount_store KILOBYTES: a small filesystem for the store, in a mount namespace of this test's own.
# What fills up first differs by size: the index, the source, the workspace, the chunks, the log.
test_full_disk_in_every_phase() {
  need_root
  need_program unshare
  new_app
  unshare -m true 2>/dev/null || skip "mounts are not allowed here"
  expect_exit 0 build
  mv out.tgz first.tgz
  export -f build slipway
  export house dir
  # One shell keeps the mount alive while the sizes go up.
  expect_exit 0 unshare -m "$BASH" -c '
    set -u
    mkdir -p "$dir/small" && mount -t tmpfs -o size=64k small "$dir/small" || exit 99
    export SLIPWAY_HOME=$dir/small/store
    for size in 64 128 256 400 800 1200 1600 2000 2200 2600 3000 4000 6000; do
      mount -o remount,size=${size}k "$dir/small" || exit 99
      rm -f "$dir/out.tgz"
      echo "$size" >"$dir/app/size"
      build >"$dir/log" 2>&1
      echo "$size $? $(grep "^error:" "$dir/log" | head -n 1)"
      if grep -q "^error:" "$dir/log" && ! grep -q "^hint:" "$dir/log"; then echo "$size NOHINT"; fi
      if [[ -e $dir/out.tgz ]] && ! gzip -t "$dir/out.tgz"; then echo "$size HALF"; fi
      # What failed must not be what stays: gc works on a full disk.
      "$house/slipway" cache prune >"$dir/prune" 2>&1 || echo "$size PRUNE $? $(head -n 1 "$dir/prune")"
      "$house/slipway" cache verify >"$dir/verify" 2>&1 || echo "$size VERIFY $? $(head -n 1 "$dir/verify")"
    done
    rm "$dir/app/size"
    mount -o remount,size=200m "$dir/small" || exit 99
    rm -f "$dir/out.tgz"
    build >"$dir/log" 2>&1 || { tail -n 5 "$dir/log"; echo "END FAILED"; }
    cmp "$dir/out.tgz" "$dir/first.tgz" || echo "END DIFFERS"
    "$house/slipway" cache verify >"$dir/verify" 2>&1 || echo "END VERIFY"
  '
  echo "--- by size"
  cat "$out"
  lacks "$out" "NOHINT"
  lacks "$out" "HALF"
  lacks "$out" "END"
  # Every code is "this machine can't" or done, and several phases were met.
  local odd
  odd=$(awk '$2 ~ /^[0-9]+$/ && $2 != 0 && $2 != 6 && $2 != 1' "$out")
  if [[ -n $odd ]]; then fail "other codes than 6: $odd"; fi
  [[ $(awk '$2 == 6' "$out" | wc -l) -ge 3 ]] || fail "the disk was never full"
  grep -q "No space left on device\|disk is full\|database or disk is full" "$out" || fail "the cause is not named"
}

# The slug goes to another disk than the store.
test_full_disk_of_the_output() {
  need_root
  need_program unshare
  new_built_app
  export house dir SLIPWAY_HOME
  expect_exit 6 unshare -m "$BASH" -c '
    mkdir -p "$dir/small" && mount -t tmpfs -o size=64k small "$dir/small" || exit 99
    "$house/slipway" build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/small/out.tgz"
    status=$?
    [[ -z $(ls -A "$dir/small") ]] || { ls -lA "$dir/small" >&2; exit 98; }
    exit $status'
  contains "$err" "No space left on device"
  contains "$err" "hint: "
  next_build_is_the_same
}

test_output_that_cannot_be_written() {
  new_built_app
  expect_exit 6 slipway build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/nowhere/out.tgz"
  contains "$err" "$dir/nowhere"
  contains "$err" "hint: "
  expect_exit 6 slipway build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/app"
  contains "$err" "$dir/app"
  next_build_is_the_same
}

run_tests "$@"
