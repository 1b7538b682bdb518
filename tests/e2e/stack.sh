#!/bin/bash
# Stacks from an OCI image layout: a small one is made by hand from the machine's own programs.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# make_root FOLDER: what a pack of a few lines needs.
make_root() {
  mkdir -p "$1"/{usr/bin,etc,tmp,dev,proc,sys,app,root,run,var/tmp}
  local link name library
  for link in bin lib lib64; do
    mkdir -p "$1/usr/$link"
    ln -s "usr/$link" "$1/$link"
  done
  for name in bash sh cat cp ls mkdir env id rm; do cp -L "/bin/$name" "$1/usr/bin/$name"; done
  for library in $(ldd /bin/bash /bin/ls /bin/cp /bin/id | grep -o '/[^ )]*' | grep -v ':' | sort -u); do
    mkdir -p "$1/$(dirname "$library")"
    cp -L "$library" "$1/$library"
  done
  echo 'root:x:0:0::/root:/bin/sh' >"$1/etc/passwd"
  echo 'root:x:0:' >"$1/etc/group"
  echo 'made by hand' >"$1/etc/origin"
}

# make_layout FOLDER ROOT…: one gzip layer a root.
make_layout() {
  need_program python3
  local layout=$1 root
  shift
  mkdir -p "$layout/blobs/sha256"
  : >layers
  for root in "$@"; do
    tar --sort=name --owner=0 --group=0 --numeric-owner -cf layer.tar -C "$root" .
    gzip -nk layer.tar
    echo "$(sha256sum <layer.tar | cut -d' ' -f1) $(sha256sum <layer.tar.gz | cut -d' ' -f1) $(stat -c %s layer.tar.gz)" >>layers
    mv layer.tar.gz "$layout/blobs/sha256/$(sha256sum <layer.tar.gz | cut -d' ' -f1)"
    rm layer.tar
  done
  python3 - "$layout" layers <<'END'
import hashlib, json, sys
layout, layers = sys.argv[1], [line.split() for line in open(sys.argv[2])]
def put(value):
    data = json.dumps(value).encode()
    name = hashlib.sha256(data).hexdigest()
    open(f"{layout}/blobs/sha256/{name}", "wb").write(data)
    return {"digest": "sha256:" + name, "size": len(data)}
kind = "application/vnd.oci.image."
config = put({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + l[0] for l in layers]}})
manifest = put({"schemaVersion": 2, "config": {"mediaType": kind + "config.v1+json", **config},
    "layers": [{"mediaType": kind + "layer.v1.tar+gzip", "digest": "sha256:" + l[1], "size": int(l[2])} for l in layers]})
json.dump({"schemaVersion": 2, "manifests": [{"mediaType": kind + "manifest.v1+json", **manifest,
    "platform": {"os": "linux", "architecture": "amd64"}}]}, open(layout + "/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(layout + "/oci-layout", "w"))
END
}

new_layout() {
  [[ $(uname -m) == x86_64 ]] || skip "layouts here are for amd64"
  new_dir case
  make_root root
  make_layout layout root
  mkdir app
  echo hello >app/file
  new_pack "$dir/pack" <<<'cat /etc/origin; echo "STACK=$STACK"; ls /usr/bin >"$1/programs"'
}

test_import_and_build() {
  new_layout
  expect_exit 0 slipway stack create tiny --from "$dir/layout" --presents heroku-22
  expect_exit 0 slipway stack ls
  grep -E '^tiny .*heroku-22.* yes ' "$out" || fail "not listed: $(cat "$out")"
  expect_exit 0 slipway build app --stack tiny --network none --progress plain -b "$dir/pack" --slug "$dir/out.tgz"
  contains "$err" "Building on the tiny stack"
  contains "$err" "made by hand"
  contains "$err" "STACK=heroku-22"
  tar -xOzf out.tgz ./app/programs >programs
  contains programs bash
  lacks programs python3
  expect_exit 0 slipway build app --stack tiny --network none --progress plain -b "$dir/pack"
  contains "$err" "Nothing changed since the last build"
}

test_a_changed_stack_is_told() {
  new_layout
  expect_exit 0 slipway stack create tiny --from "$dir/layout"
  new_pack "$dir/pack" <<<':'
  expect_exit 0 slipway build app --stack tiny --network none -b "$dir/pack"
  expect_exit 0 slipway build app --stack host --network none --progress plain -b "$dir/pack"
  contains "$err" "-----> Stack changed from tiny to host"
}

test_layers_hide_what_they_delete() {
  new_layout
  mkdir -p upper/etc upper/var/lib
  : >upper/etc/.wh.origin
  echo above >upper/etc/second
  rm -r layout
  make_layout layout root upper
  expect_exit 0 slipway stack create tiny --from "$dir/layout"
  new_pack "$dir/pack" <<<'if [[ -e /etc/origin ]]; then echo "still there"; fi; cat /etc/second'
  expect_exit 0 slipway build app --stack tiny --network none --progress plain -b "$dir/pack"
  contains "$err" above
  lacks "$err" "still there"
}

test_tampered_layers_and_documents() {
  new_layout
  local largest blob name
  largest=$(find layout/blobs/sha256 -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
  printf 'X' | dd of="$largest" bs=1 seek=5000 conv=notrunc status=none
  expect_exit 5 slipway stack create tiny --from "$dir/layout"
  contains "$err" "error: reading the image in $dir/layout: layer sha256:${largest##*/} does not have its digest"
  # Nothing of it stays.
  expect_exit 0 slipway stack ls
  lacks "$out" "tiny"
  for blob in layout/blobs/sha256/*; do
    if [[ $(stat -c %s "$blob") -gt 2000 ]]; then continue; fi
    cp "$blob" kept
    printf ' ' >>"$blob"
    name=${blob##*/}
    # The config is not read by us; the manifest must be what its digest says.
    if grep -q '"layers"' kept && ! grep -q diff_ids kept; then
      expect_exit 5 slipway stack create tiny --from "$dir/layout"
      contains "$err" "blob sha256:$name does not have its digest"
    fi
    cp kept "$blob"
  done
  rm "$largest"
  expect_exit '5|6' slipway stack create tiny --from "$dir/layout"
  contains "$err" "${largest##*/}"
}

test_layouts_that_are_none() {
  new_layout
  expect_exit 5 slipway stack create tiny --from "$dir/app"
  contains "$err" "there is no OCI layout here (index.json is missing)"
  echo '{"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}' >layout/index.json
  expect_exit 5 slipway stack create tiny --from "$dir/layout"
  contains "$err" "is not a digest"
  echo '{"manifests": 5' >layout/index.json
  expect_exit 5 slipway stack create tiny --from "$dir/layout"
  contains "$err" "index.json:2:1: not valid JSON"
  echo '{"manifests": []}' >layout/index.json
  expect_exit 5 slipway stack create tiny --from "$dir/layout"
  contains "$err" "no image for linux/amd64 inside"
}

test_unknown_stacks_are_told() {
  new_dir case
  mkdir app
  expect_exit 2 slipway build app --stack debain-12
  contains "$err" "debain-12"
  contains "$err" "hint: "
  expect_exit 2 slipway stack create nosuch
  contains "$err" "nosuch"
  expect_exit 2 slipway stack rm nosuch
}

# heroku_images NAME…: images under these names, of what make_root makes; a build image can be told.
heroku_images() {
  local name
  new_dir images
  make_root root
  for name in "$@"; do
    echo "$name" >root/etc/origin
    printf 'FROM scratch\nCOPY root /\nENV NOT=seen\n' >Dockerfile
    expect_exit 0 slipway build . --network none -t "$name" "${push[@]}"
  done
}

heroku_app() {
  new_dir app
  new_pack pack Tiny <<'END'
echo "STACK=$STACK on $(cat /etc/origin) NOT=${NOT-unset}"
echo "web: echo started on \$(cat /etc/origin)" >"$1/Procfile"
END
}

test_the_platforms_own_images_in_the_store() {
  push=()
  heroku_images heroku/heroku:24-build heroku/heroku:24
  heroku_app
  expect_exit 0 slipway build . --stack heroku-24 -b ./pack --network none --app tiny --slug slug.tgz
  contains "$err" "Building on the heroku-24 stack"
  contains "$err" "Fetching the heroku-24 stack (heroku/heroku:24-build)"
  contains "$err" "STACK=heroku-24 on heroku/heroku:24-build NOT=unset"
  expect_exit 0 slipway run tiny web
  contains "$out" "started on heroku/heroku:24"
  expect_exit 0 slipway stack ls
  contains "$out" "heroku-26"
  contains "$out" "public image"
  # Its name is its STACK.
  expect_exit 2 slipway build . --stack heroku-24 --present heroku-22 -b ./pack --network none
  contains "$err" "the stack heroku-24 cannot present itself as 'heroku-22'"
  # An app that only says which stack it is for gets it when it is here; another is not fetched.
  echo '{"stack": "heroku-24"}' >app.json
  expect_exit 0 slipway build . -b ./pack --network none --app tiny
  contains "$err" "Building on the heroku-24 stack"
}

test_the_platforms_own_images_from_a_registry() {
  need_program docker-registry
  local port
  port=$(free_port)
  new_dir registry
  printf 'version: 0.1\nlog: {level: warn, accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$dir/data" "$port" >config.yml
  background docker-registry serve config.yml
  local log=$background_log
  wait_http "http://localhost:$port/v2/"
  push=(--push)
  heroku_images "localhost:$port/heroku/heroku:22-build" "localhost:$port/heroku/heroku:22"
  export SLIPWAY_HOME=$test_state/other
  heroku_app
  expect_exit 0 slipway build . --stack heroku-22 -b ./pack --network none --app tiny \
    --registry-mirror "http://localhost:$port"
  contains "$err" "STACK=heroku-22 on localhost:$port/heroku/heroku:22-build NOT=unset"
  # From now on nobody is asked.
  local asked
  asked=$(wc -l <"$log")
  echo more >file
  expect_exit 0 slipway build . --stack heroku-22 -b ./pack --network none --app tiny \
    --registry-mirror "http://localhost:$port"
  equal "$(wc -l <"$log")" "$asked"
  expect_exit 0 slipway stack update heroku-22 --registry-mirror "http://localhost:$port"
  (($(wc -l <"$log") > asked)) || fail "an update asks"
  expect_exit 0 slipway run tiny web
  contains "$out" "started on localhost:$port/heroku/heroku:22"
  lacks "$out" build
}

run_tests "$@"
