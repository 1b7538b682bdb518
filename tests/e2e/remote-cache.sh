#!/bin/bash
# Remote caches: what one machine built, another does not build again; who may read what; caches that
# are damaged, forged, of others, or not there.
# Dockerfiles stand in single quotes: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

# plain_registry: without TLS and users; sets $registry.
plain_registry() {
  need_program docker-registry
  local port
  port=$(free_port)
  registry=localhost:$port
  mkdir -p "$test_state/registry"
  cat >"$test_state/registry/config.yml" <<END
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $test_state/registry/data}}
http: {addr: "127.0.0.1:$port"}
END
  background docker-registry serve "$test_state/registry/config.yml"

  wait_http "http://$registry/v2/"
}

# The base as an image of a folder, so that every store finds the same one; sets $base.
base_layout() {
  busybox_base
  printf 'FROM base:1\n' >"$test_state/base/Same"
  expect_exit 0 slipway build "$test_state/base" -f "$test_state/base/Same" --network none -t base:1 --oci "$test_state/base-layout"
  base=oci-layout://$test_state/base-layout:1
}

# other_machine: an empty store.
other_machine() { export SLIPWAY_HOME=$test_state/other-$RANDOM$RANDOM; }

# An app of two stages.
two_stages() {
  new_dir app
  echo one >source
  echo conf >config
  cat >Dockerfile <<'END'
FROM base AS build
COPY source /in/
RUN echo "built of $(cat /in/source)" >/out
FROM base
COPY config /etc/
RUN echo first >/first
COPY --from=build /out /srv/
RUN echo last >/last
END
}

app_build() { slipway build . --network none --progress plain -t x --build-context "base=$base" "$@"; }

# ran_nothing: all steps of the last build were cached.
ran_nothing() {
  contains "$err" ": cached"
  if grep -E '^\[[0-9a-z/ ]+\] .*: [0-9.]+ (ms|s)$' "$err" | grep -v -E 'context|FROM'; then fail "steps ran"; fi
}

test_a_folder_in_both_modes() {
  base_layout
  two_stages
  expect_exit 0 app_build --iidfile here --cache-to "type=local,dest=$test_state/max,mode=max" \
    --cache-to "type=local,dest=$test_state/min"
  contains "$err" "wrote the cache folder $test_state/max:latest (sha256:"
  for mode in max min; do
    other_machine
    expect_exit 0 app_build --iidfile there --oci "out-$mode" --cache-from "type=local,src=$test_state/$mode"
    ran_nothing
    cmp here there
    unpack "out-$mode"
    equal "$(cat "$root/srv/out" "$root/first" "$root/last")" $'built of one\nfirst\nlast'
    rm -r "out-$mode"
  done
  # A change of the last step alone: with either mode only it runs.
  sed -i 's/echo last/echo newest/' Dockerfile
  for mode in max min; do
    other_machine
    expect_exit 0 app_build --cache-from "type=local,src=$test_state/$mode"
    contains "$err" "COPY --from=build /out /srv/: cached"
    lacks "$err" "RUN echo newest >/last: cached"
  done
  # Of the build stage: mode=min has not got its steps.
  sed -i 's/echo newest/echo last/' Dockerfile
  sed -i 's|COPY --from=build /out /srv/|COPY --from=build /out /in /srv/|' Dockerfile
  other_machine
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/max"
  contains "$err" '>/out: cached'
  other_machine
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/min"
  lacks "$err" '>/out: cached'
}

test_a_registry_and_skopeo_copies() {
  base_layout
  plain_registry
  two_stages
  expect_exit 0 app_build --iidfile here --cache-to "type=registry,ref=$registry/app:cache,mode=max"
  contains "$err" "wrote the cache $registry/app:cache (sha256:"
  other_machine
  expect_exit 0 app_build --iidfile there --cache-from "$registry/app:cache" --cache-to "type=registry,ref=$registry/app:cache,mode=max"
  ran_nothing
  cmp here there
  # All of it was there.
  contains "$err" " blobs were there)"
  need_program skopeo
  expect_exit 0 skopeo --insecure-policy copy --src-tls-verify=false --dest-tls-verify=false \
    "docker://$registry/app:cache" "docker://$registry/moved:copy"
  other_machine
  expect_exit 0 app_build --iidfile there --cache-from "type=registry,ref=$registry/moved:copy"
  ran_nothing
  cmp here there
  # What is cached here needs nobody.
  kill "$pid"
  expect_exit 0 app_build --cache-from "type=registry,ref=$registry/moved:copy"
  lacks "$err" warning
}

test_a_cache_that_is_not_there_is_a_warning() {
  base_layout
  two_stages
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/nothing" --cache-from "localhost:1/app:cache"
  contains "$err" "the cache folder $test_state/nothing:latest is not used: there is no folder"
  contains "$err" "the cache localhost:1/app:cache is not used: image localhost:1/app:cache: "
  # Nothing was written: nobody asked for it.
  [[ ! -e $test_state/nothing ]]
  other_machine
  expect_exit 0 app_build --cache-to "type=registry,ref=localhost:1/app:cache,ignore-error=true"
  contains "$err" "writing the cache localhost:1/app:cache: "
  expect_exit 5 app_build --cache-to "type=registry,ref=localhost:1/app:cache"
  contains "$err" "error: writing the cache localhost:1/app:cache: "
}

test_an_image_is_no_cache() {
  base_layout
  two_stages
  plain_registry
  expect_exit 0 slipway build . --network none -t "$registry/app:1" --build-context "base=$base" --push
  other_machine
  expect_exit 0 app_build --cache-from "$registry/app:1"
  contains "$err" "it is no cache of Slipway's"
}

# Threat 18: who may write one scope reaches no build of another one.
test_what_another_branch_wrote_is_not_read() {
  base_layout
  two_stages
  expect_exit 0 app_build --cache-to "type=local,dest=$test_state/cache,scope=pull-7,mode=max"
  other_machine
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/cache,scope=main"
  contains "$err" "it is of the scope 'pull-7', not 'main'"
  lacks "$err" 'RUN echo last >/last: cached'
  other_machine
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/cache"
  contains "$err" "it is of the scope 'pull-7', not ''"
  # On one machine: what came from the cache of a branch, or was made of it, is used by builds that
  # name that cache only.
  other_machine
  sed -i 's/echo last/echo newest/' Dockerfile
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/cache,scope=pull-7"
  contains "$err" 'RUN echo first >/first: cached'
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/cache,scope=pull-7"
  ran_nothing
  expect_exit 0 app_build
  lacks "$err" 'RUN echo first >/first: cached'
  lacks "$err" 'RUN echo newest >/last: cached'
  # What was made here is used again, by everybody.
  expect_exit 0 app_build
  ran_nothing
  expect_exit 0 app_build --cache-from "type=local,src=$test_state/cache,scope=pull-7"
  ran_nothing
}

# Threat 20: every byte by its digest, before anything of it is used.
test_a_tampered_cache_is_not_used() {
  base_layout
  two_stages
  expect_exit 0 app_build --cache-to "type=local,dest=$test_state/cache,mode=max"
  local blob copy layers found=0
  for blob in "$test_state"/cache/blobs/sha256/*; do
    copy=$test_state/copy
    rm -rf "$copy"
    cp -r "$test_state/cache" "$copy"
    printf 'X' | dd of="$copy/blobs/sha256/${blob##*/}" bs=1 seek=30 conv=notrunc 2>/dev/null
    other_machine
    expect_exit 0 app_build --oci out --cache-from "type=local,src=$copy"
    # Layers that this build needs none of are not even read.
    if grep -q "the cache folder $copy:latest is not used: " "$err"; then found=$((found + 1)); else ran_nothing; fi
    unpack out
    equal "$(cat "$root/srv/out" "$root/first" "$root/last")" $'built of one\nfirst\nlast'
    rm -r out
    expect_exit 0 slipway cache verify
  done
  ((found >= 6)) || fail "only $found were found out"
  # Layers cut short, and gone.
  rm -rf "$copy"
  cp -r "$test_state/cache" "$copy"
  layers=$(grep -L -a '^{' "$copy"/blobs/sha256/*)
  for blob in $layers; do truncate -s -10 "$blob"; done
  other_machine
  expect_exit 0 app_build --cache-from "type=local,src=$copy"
  contains "$err" "is not used: "
  for blob in $layers; do rm "$blob"; done
  other_machine
  expect_exit 0 app_build --cache-from "type=local,src=$copy"
  contains "$err" "is missing"
}

# No secret, no value that came from one, nobody's environment.
test_no_secret_is_in_a_cache() {
  base_layout
  new_dir app
  printf 'FROM base\nARG WORD\nRUN --mount=type=secret,id=token [ "$(cat /run/secrets/token)" = s3cret-token ] && echo done >/done\n' >Dockerfile
  echo -n s3cret-token >"$test_state/token"
  expect_exit 0 app_build --secret "id=token,src=$test_state/token" --build-arg WORD=plain-word \
    --cache-to "type=local,dest=$test_state/cache,mode=max"
  if grep -r -e s3cret-token -e plain-word "$test_state/cache"; then fail "it is in the cache"; fi
}

test_what_is_refused_by_name() {
  new_dir app
  printf 'FROM scratch\n' >Dockerfile
  expect_exit 2 slipway build . --cache-to type=gha,mode=max
  contains "$err" "--cache-to type=gha is not taken"
  contains "$err" "slipway cache export FILE"
  expect_exit 2 slipway build . --cache-to type=inline
  contains "$err" "--cache-to type=inline is not taken"
  expect_exit 2 slipway build . --cache-from type=s3,bucket=x
  contains "$err" "--cache-from type=s3 is not taken"
  expect_exit 2 slipway build . --cache-to type=local
  contains "$err" "dest= is missing"
  expect_exit 2 slipway build . --cache-to type=local,dest=x,mode=most
  contains "$err" "mode is min or max"
  expect_exit 2 slipway build . --cache-from type=local,src=x,mode=max
  contains "$err" "unknown field 'mode'"
  expect_exit 2 slipway build . --cache-from type=nothing
  contains "$err" "unknown"
}

# --- buildpacks ---

# tiny_app: a pack that counts its runs in CACHE_DIR.
tiny_app() {
  new_dir app
  new_pack pack Tiny <<'END'
echo ran >>"$2/runs"
echo "run $(wc -l <"$2/runs")"
echo "web: echo hello" >"$1/Procfile"
echo built >"$1/built"
END
  echo code >main
}

tiny_build() { slipway build . -b ./pack --stack host --app tiny --network none "$@"; }

test_a_pipelines_result() {
  tiny_app
  expect_exit 0 tiny_build --slug "$test_state/here.slug" --cache-to "type=local,dest=$test_state/cache"
  contains "$err" "run 1"
  other_machine
  expect_exit 0 tiny_build --slug "$test_state/there.slug" --cache-from "type=local,src=$test_state/cache"
  contains "$err" "Nothing changed since the last build: using its result"
  lacks "$err" "run 1"
  cmp "$test_state/here.slug" "$test_state/there.slug"
  # Used here by those only that name the cache.
  expect_exit 0 tiny_build
  contains "$err" "run 1"
  # Another source is another key.
  other_machine
  echo more >main
  expect_exit 0 tiny_build --cache-from "type=local,src=$test_state/cache"
  contains "$err" "run 1"
}

# --- one file ---

test_a_file_takes_all_to_another_machine() {
  tiny_app
  expect_exit 0 tiny_build --slug "$test_state/here.slug"
  two_stages_with_mount() {
    base_layout
    new_dir image
    echo one >source
    printf 'FROM base\nCOPY source /in/\nRUN --mount=type=cache,id=things,target=/c echo x >>/c/log && cp /c/log /out\n' >Dockerfile
  }
  two_stages_with_mount
  expect_exit 0 app_build --iidfile "$test_state/iid"
  expect_exit 0 slipway cache export "$test_state/cache.tar"
  contains "$out" "1 app caches, 1 cache mounts"
  other_machine
  expect_exit 0 slipway cache import "$test_state/cache.tar"
  contains "$out" "imported "
  contains "$out" " 1 app caches, 1 cache mounts"
  expect_exit 0 app_build --iidfile there
  ran_nothing
  cmp there "$test_state/iid"
  # The cache mount goes on where it was.
  echo two >source
  expect_exit 0 app_build --oci out
  unpack out
  equal "$(wc -l <"$root/out")" 2
  cd "$test_state/work/app"
  expect_exit 0 tiny_build --slug "$test_state/there.slug"
  contains "$err" "Nothing changed since the last build: using its result"
  cmp "$test_state/here.slug" "$test_state/there.slug"
  echo more >main
  expect_exit 0 tiny_build
  contains "$err" "run 2"
  # A second import changes nothing.
  expect_exit 0 slipway cache import "$test_state/cache.tar"
  contains "$out" "imported 0 results, 0 app caches, 0 cache mounts; "
  # Other tools read it, too.
  need_program skopeo
  expect_exit 0 skopeo --insecure-policy copy "oci-archive:$test_state/cache.tar:cache" "oci:$test_state/copy:cache"
}

test_a_file_keeps_to_its_limit() {
  base_layout
  new_dir app
  head -c 3000000 /dev/urandom >big
  printf 'FROM base\nCOPY big /\n' >Dockerfile
  expect_exit 0 app_build
  expect_exit 0 slipway cache export all.tar
  (($(stat -c %s all.tar) > 3000000))
  expect_exit 0 slipway cache export small.tar --max-size 1500K
  contains "$out" "left out"
  (($(stat -c %s small.tar) < 2000000)) || fail "it is too large"
  other_machine
  expect_exit 0 slipway cache import small.tar
}

test_a_file_that_is_damaged_is_refused_whole() {
  tiny_app
  expect_exit 0 tiny_build
  expect_exit 0 slipway cache export good.tar
  local size at before
  size=$(stat -c %s good.tar)
  other_machine
  expect_exit 0 slipway cache du
  before=$(<"$out")
  for at in 100 1000 $((size / 2)) $((size - 1500)); do
    cp good.tar bad.tar
    truncate -s "$at" bad.tar
    expect_exit 5 slipway cache import bad.tar
    contains "$err" "error: importing bad.tar: "
  done
  # A flipped bit in each member's content.
  need_program python3
  python3 - <<'END'
import tarfile
data = bytearray(open("good.tar", "rb").read())
with tarfile.open("good.tar") as tar:
    members = [m for m in tar if m.isfile() and m.size > 0 and m.name != "oci-layout"]
for number, member in enumerate(members):
    bad = bytearray(data)
    bad[member.offset_data + member.size // 2] ^= 4
    open(f"flipped-{number}.tar", "wb").write(bad)
END
  local bad
  for bad in flipped-*.tar; do
    expect_exit 5 slipway cache import "$bad"
    contains "$err" "error: importing $bad: "
  done
  echo nothing >bad.tar
  expect_exit 5 slipway cache import bad.tar
  expect_exit 2 slipway cache import nothing.tar
  contains "$err" "there is no file nothing.tar"
  # Nothing of it is here.
  expect_exit 0 slipway cache du
  equal "$(<"$out")" "$before"
  expect_exit 0 slipway cache import good.tar
}

run_tests "$@"
