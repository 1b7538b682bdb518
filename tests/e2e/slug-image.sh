#!/bin/bash
# A build with buildpacks that ends in an image: layers, launcher, outputs.
# Packs and launchers are written in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

# An app with two packs: tools and libraries by the first, a compiled file and an index by the second.
new_app() {
  bash_stack
  new_pack "$test_state/first" First <<'END'
mkdir -p "$1/.heroku/bin" "$1/.profile.d" "$1/web/node_modules/x"
printf '#!/bin/bash\necho "tool says $*"\n' >"$1/.heroku/bin/tool"
chmod 755 "$1/.heroku/bin/tool"
echo 'module' >"$1/web/node_modules/x/index.js"
echo 'export PATH=/app/.heroku/bin:$PATH ORDER="$ORDER b"' >"$1/.profile.d/b.sh"
echo 'export ORDER="$ORDER a"' >"$1/.profile.d/a.sh"
END
  new_pack "$test_state/second" Second <<'END'
mkdir -p "$1/vendor"
echo 'library' >"$1/vendor/library"
echo "compiled $(cat "$1/main.txt")" >"$1/main.out"
END
  new_dir app
  printf 'web: echo "web on $PORT as $(id -u):$(id -g)"\nworker: tool work\n' >Procfile
  echo 'export ORDER="$ORDER profile"' >.profile
  echo one >main.txt
  mkdir web log
  echo page >web/page.html
}

build_app() {
  slipway build . --stack tiny --network none --progress plain -b "$test_state/first" -b "$test_state/second" "$@"
}

# layers LAYOUT [TAG]: digests of the image's layers, one a line.
layers() {
  skopeo inspect --raw "oci:$1:${2:-latest}" | jq -r '.layers[].digest'
}

# in_layer LAYOUT NUMBER: paths in the layer, from 1.
in_layer() {
  local digest
  digest=$(layers "$1" | sed -n "$2p")
  tar -tzf "$1/blobs/sha256/${digest#sha256:}"
}

# launch ROOT ARGUMENT…: the image's entrypoint in its root filesystem, as its user.
launch() {
  need_root
  if [[ ! -e $1/dev/null ]]; then install -m 666 /dev/null "$1/dev/null"; fi
  local root=$1
  shift
  chroot --userspec=1000:1000 --groups= "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin /slipway/launch "$@"
}

test_a_source_change_uploads_the_last_two_layers() {
  need_program skopeo
  new_app
  expect_exit 0 build_app -t app --oci ../out --slug ../app.tgz --metadata-file ../meta.json --iidfile ../id --label team=blue
  contains "$err" "-----> Making the image..."
  # One output does not hinder the other.
  contains <(tar -tzf ../app.tgz) ./app/main.out
  layers ../out >../first-layers
  # The stack, the user that it lacks, two packs, build output, source.
  equal "$(wc -l <../first-layers)" 6
  contains <(in_layer ../out 2) etc/passwd
  contains <(in_layer ../out 3) app/.heroku/bin/tool
  contains <(in_layer ../out 3) app/web/node_modules/x/index.js
  lacks <(in_layer ../out 3) page.html
  equal "$(in_layer ../out 4 | grep -v '/$')" app/vendor/library
  contains <(in_layer ../out 5) app/main.out
  contains <(in_layer ../out 5) app/.profile.d/a.sh
  contains <(in_layer ../out 5) slipway/launch
  contains <(in_layer ../out 6) app/main.txt
  contains <(in_layer ../out 6) app/log/
  # Each file is in one layer, and none hides another.
  for i in 1 2 3 4 5 6; do in_layer ../out "$i"; done | grep -v '/$' | grep -vx 'etc/passwd\|etc/group' | sort | uniq -d >../twice
  equal "$(<../twice)" ""
  lacks <(for i in 1 2 3 4 5 6; do in_layer ../out "$i"; done) .wh.

  echo two >main.txt
  expect_exit 0 build_app -t app --oci ../again
  layers ../again >../second-layers
  equal "$(head -n 4 ../second-layers)" "$(head -n 4 ../first-layers)"
  [[ "$(sed -n 5p ../first-layers)" != "$(sed -n 5p ../second-layers)" && "$(sed -n 6p ../first-layers)" != "$(sed -n 6p ../second-layers)" ]] ||
    fail "the change is in no layer"

  # The same source gives the same image.
  echo one >main.txt
  expect_exit 0 build_app -t app --oci ../third --iidfile ../third.id --label team=blue
  cmp ../id ../third.id
  equal "$(jq -r '."containerimage.config.digest"' ../meta.json)" "$(<../id)"
  equal "$(jq -r '."image.name"[0]' ../meta.json)" app:latest
  equal "$(jq -r '.process_types.worker' ../meta.json)" "tool work"
}

test_the_config_is_a_dynos() {
  new_app
  expect_exit 0 build_app -t team/app:3 --oci ../out --label team=blue --annotation a=b
  equal "$(config_of ../out '.config.User + " " + .config.WorkingDir + " " + .config.Entrypoint[0] + " " + .config.Cmd[0]' 3)" \
    "1000:1000 /app /slipway/launch web"
  equal "$(config_of ../out '.config.Labels.team + " " + .config.Labels["slipway.stack"]' 3)" "blue tiny"
  equal "$(config_of ../out '.config.Labels["slipway.process-types"] | fromjson | .worker' 3)" "tool work"
  equal "$(config_of ../out '.config.Env | sort | join(" ")' 3)" "HOME=/app PATH=/usr/local/bin:/usr/bin:/bin"
  equal "$(config_of ../out '.config.ExposedPorts | keys[0]' 3)" 5000/tcp
  equal "$(config_of ../out '.history | length' 3)" "$(config_of ../out '.rootfs.diff_ids | length' 3)"
  contains <(config_of ../out '.history[].created_by' 3) "slipway: dependencies of"
  equal "$(skopeo inspect --raw oci:../out:3 | jq -r .annotations.a)" b
  equal "$(jq -r '.manifests[0].annotations["io.containerd.image.name"]' ../out/index.json | grep -c team/app:3)" 1
}

test_the_launcher_starts_types_and_commands() {
  new_app
  expect_exit 0 build_app -t app --dir ../root
  equal "$(stat -c '%a' ../root/app ../root/slipway/launch | tr '\n' ' ')" "755 755 "
  equal "$(launch ../root)" "web on 5000 as 1000:1000"
  equal "$(launch ../root web)" "web on 5000 as 1000:1000"
  equal "$(launch ../root worker)" "tool says work"
  # One text is the shell's, several words are a command's own.
  equal "$(launch ../root 'echo $ORDER $DYNO "$PWD" "$HOME"')" "a b profile run.1 /app /app"
  equal "$(launch ../root tool '$ORDER' 'a  b')" 'tool says $ORDER a  b'
  expect_exit 7 launch ../root 'exit 7'
  expect_exit 143 launch ../root 'kill -TERM $$'
}

test_times_do_not_depend_on_the_day() {
  new_app
  SOURCE_DATE_EPOCH=1700000000 expect_exit 0 build_app --dir ../root
  equal "$(stat -c %Y ../root/app/main.txt ../root/app/main.out ../root/app | sort -u)" 1700000000
  equal "$(stat -c %Y ../root/app/.heroku/bin/tool ../root/app/vendor/library ../root/app/web/node_modules | sort -u)" 315532801
}

test_a_slugs_image_is_a_base() {
  new_app
  expect_exit 0 build_app -t app
  mkdir ../more
  cd ../more
  printf 'FROM app\nUSER root\nRUN cat /app/main.out >/seen && touch /app/main.out\nUSER 1000:1000\nCMD ["worker"]\n' >Dockerfile
  expect_exit 0 slipway build . --network none -t more --dir ../root --oci ../out
  equal "$(<../root/seen)" "compiled one"
  equal "$(config_of ../out '.config.Entrypoint[0] + " " + .config.Cmd[0]')" "/slipway/launch worker"
  # Its layers are the base's, as they came.
  ls ../out/blobs/sha256 >../blobs
  expect_exit 0 slipway build ../app --stack tiny --network none -b "$test_state/first" -b "$test_state/second" --oci ../base -t app
  layers ../base | sed 's/sha256://' | while read -r digest; do contains ../blobs "$digest"; done
}

test_an_app_without_web_says_what_it_has() {
  new_app
  echo 'worker: echo working' >Procfile
  expect_exit 0 build_app --dir ../root --oci ../out -t app
  equal "$(config_of ../out '.config.Cmd')" null
  expect_exit 64 launch ../root
  contains "$err" "no web process; start it with one of: worker, or a command"
  equal "$(launch ../root worker)" working
}

test_what_means_nothing_here_is_refused() {
  new_app
  expect_exit 2 build_app --build-arg A=1
  contains "$err" "--build-arg means nothing to a build with buildpacks"
  contains "$err" "-e NAME=VALUE"
  expect_exit 2 build_app --platform linux/s390x -t x
  contains "$err" "not this machine's"
  expect_exit 2 slipway build . --stack host --network none -b "$test_state/first" -t x
  contains "$err" "the host stack is this machine itself, so it cannot be in an image"
  expect_exit 2 build_app --push
  contains "$err" "--push without a name"
}

test_nothing_of_a_config_var_is_in_the_image() {
  new_app
  echo 'cat "$3/TOKEN" >/dev/null' >>"$test_state/first/bin/compile"
  TOKEN=hunter2-hunter2 expect_exit 0 build_app --secret-env TOKEN -e PLAIN=visible-value -t app --oci ../out --dir ../root
  lacks <(cat ../root/slipway/launch; find ../root/app -type f -exec cat {} +) hunter2
  lacks <(skopeo inspect --config --raw oci:../out:latest) hunter2
  lacks <(skopeo inspect --config --raw oci:../out:latest) visible-value
}

run_tests "$@"
