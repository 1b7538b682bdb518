#!/bin/bash
# heroku.yml: several images and a config (specs: YML).
# Dockerfiles stand in quoted heredocs: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

# web and worker share a stage; their contexts are their folders.
make_app() {
  busybox_base
  new_dir shop
  mkdir worker
  cat >heroku.yml <<'EOF'
setup:
  addons:
    - plan: heroku-postgresql
      as: DATABASE
build:
  docker:
    web: Dockerfile
    worker:
      dockerfile: worker/Dockerfile
      target: job
  config:
    RAILS_ENV: production
    SECRET_KEY_BASE: $SECRET_KEY_BASE
release:
  image: worker
  command:
    - ./migrate.sh --all
run:
  web: serve
EOF
  cat >Dockerfile <<'EOF'
FROM base:1
ARG RAILS_ENV
ARG SECRET_KEY_BASE
COPY heroku.yml /
RUN echo "$RAILS_ENV" >/env && printf %s "$SECRET_KEY_BASE" | wc -c >/length && echo "key $SECRET_KEY_BASE"
CMD ["serve"]
EOF
  printf 'FROM base:1 AS job\nCOPY . /job/\nFROM job\nRUN false\n' >worker/Dockerfile
  echo job >worker/work
}

test_images_config_and_metadata() {
  make_app
  expect_exit 0 docker_build_app -e SECRET_KEY_BASE=s3cret-s3cret --oci out --metadata-file meta.json
  contains "$err" "from heroku.yml: there is a heroku.yml"
  equal "$(jq -r '[.manifests[].annotations["io.containerd.image.name"]] | sort | join(" ")' out/index.json)" \
    "docker.io/library/shop-web:latest docker.io/library/shop-worker:latest"
  equal "$(jq -r '[.images[].process_type] | join(" ")' meta.json)" "web worker"
  equal "$(jq -r '.["heroku.yml"].release.image + " " + .["heroku.yml"].release.command' meta.json)" \
    "worker ./migrate.sh --all"
  equal "$(jq -r '.["heroku.yml"].setup.addons[0].plan' meta.json)" heroku-postgresql
  # The value of a config var is nowhere but in the step.
  contains "$err" "key [redacted]"
  lacks "$err" s3cret-s3cret
  if grep -rqa s3cret-s3cret out meta.json "$SLIPWAY_HOME"; then fail "a config var's value was kept"; fi
  local digest
  digest=$(jq -r '.manifests[] | select(.annotations["io.containerd.image.name"] | test("web")) | .digest' out/index.json)
  local config
  config=$(jq -r .config.digest "out/blobs/${digest/://}")
  contains <(jq -r '.history[].created_by' "out/blobs/${config/://}") "SECRET_KEY_BASE=<config var>"
}

docker_build_app() { slipway build . --app shop --network none --progress plain "$@"; }

test_a_missing_config_var_names_the_flag() {
  make_app
  expect_exit 4 docker_build_app
  contains "$err" "heroku.yml:13:"
  contains "$err" "SECRET_KEY_BASE"
  contains "$err" "--literal-config"
  expect_exit 0 docker_build_app --literal-config
}

test_mistakes_are_told_in_the_platforms_words() {
  make_app
  printf 'build:\n  languages: [ruby]\n' >heroku.yml
  expect_exit 4 docker_build_app
  contains "$err" "heroku.yml:2:3"
  printf 'build:\n  docker:\n    web: nowhere/Dockerfile\n' >heroku.yml
  expect_exit 4 docker_build_app
  contains "$err" "heroku.yml:3:"
  contains "$err" "nowhere/Dockerfile"
  printf 'build:\n  docker:\n    web: Dockerfile\n    surprise: {}\n  color: red\n' >heroku.yml
  expect_exit 4 docker_build_app
  contains "$err" "is a forbidden property"
}

test_names_for_each_process() {
  make_app
  expect_exit 0 docker_build_app --literal-config -t example.com/team/shop:2 --oci out
  equal "$(jq -r '[.manifests[].annotations["io.containerd.image.name"]] | sort | join(" ")' out/index.json)" \
    "example.com/team/shop-web:2 example.com/team/shop-worker:2"
}

run_tests "$@"
