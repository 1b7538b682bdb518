#!/bin/bash
# Where packs and apps come from, and which packs are chosen (specs: SRC, DET).
# shellcheck disable=SC2016 # the packs' scripts stand in single quotes
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

commit_all() { # FOLDER MESSAGE
  git -C "$1" add -A
  git -C "$1" -c user.name=t -c user.email=t@localhost -c commit.gpgsign=false commit -q -m "$2"
}

# A pack in git with a branch, a branch with a slash and a tag; its scripts are not executable. Sets
# $pack and $first, the first commit.
git_pack() {
  need_program git
  pack git <<<'echo "version $(cat version)"; git rev-parse HEAD 2>/dev/null | sed "s/^/at /" || true'
  chmod 644 "$pack"/bin/*
  git -C "$pack" init -q -b main
  echo first >"$pack/version"
  commit_all "$pack" first
  first=$(git -C "$pack" rev-parse HEAD)
  git -C "$pack" tag v1
  git -C "$pack" checkout -q -b archive/v250
  echo slash >"$pack/version"
  commit_all "$pack" slash
  git -C "$pack" checkout -q main
  echo newest >"$pack/version"
  commit_all "$pack" newest
}

# SRC-1, SRC-2, SRC-7
test_git_packs_by_every_kind_of_ref() {
  git_pack
  local url=file://$pack
  built_with "$url"
  contains "$err" $'version newest\n'
  contains "$err" "-----> Using buildpack: $url"
  # The same commit is the same pack.
  built_with "$url#" -- --no-cache
  contains "$err" $'version newest\n'
  built_with "$url#v1" -- --metadata-file "$dir/m.json"
  contains "$err" $'version first\n'
  contains "$err" "-----> Using buildpack: $url#v1"
  equal "$(json m.json '.buildpacks[0].commit')" "$first"
  built_with "$url#archive/v250"
  contains "$err" $'version slash\n'
  built_with "$url#$first" -- --no-cache
  contains "$err" $'version first\n'
  built_with "$url#${first:0:9}" -- --no-cache
  contains "$err" $'version first\n'
}

test_a_ref_that_is_not_there_is_named() {
  git_pack
  expect_exit 5 build -b "file://$pack#no-such-branch"
  contains "$err" 'no-such-branch'
  expect_exit 5 build -b "file://$test_state/nowhere.git"
  contains "$err" 'nowhere.git'
}

# SRC-3, SRC-6, SRC-7: over HTTP, with and without the wrapping folder, scripts at 0644.
test_tarball_packs_with_and_without_a_wrapper() {
  pack tar <<<'echo "from a tarball $(cat mark)"'
  echo here >"$pack/mark"
  chmod 644 "$pack"/bin/*
  mkdir www
  tar czf www/flat.tgz -C "$pack" .
  tar czf www/plain.tar.gz -C "$pack" bin mark
  tar czf www/wrapped.tar.gz -C "$(packs_folder)" tar
  serve "$dir/www"
  local name
  for name in flat.tgz plain.tar.gz wrapped.tar.gz 'flat.tgz?token=abcdefghijk'; do
    built_with "$url/$name"
    contains "$err" 'from a tarball here'
    lacks "$err" abcdefghijk
  done
}

test_a_missing_tarball_is_a_clear_error() {
  mkdir www
  serve "$dir/www"
  expect_exit 5 build -b "$url/none.tgz"
  contains "$err" "$url/none.tgz"
  contains "$err" 404
}

test_a_folder_without_scripts_is_no_pack() {
  mkdir empty
  expect_exit 2 build -b ./empty
  contains "$err" "neither bin/detect nor bin/compile"
  expect_exit 2 build -b nodejz
  contains "$err" "did you mean 'nodejs'"
}

# -b is typed by somebody who stands somewhere; what stands in the app's files is the app's.
test_a_folder_of_the_command_line_starts_where_the_caller_is() {
  pack here One <<<'true'
  mkdir -p app elsewhere
  cp -r "$pack" elsewhere/pack
  cp -r "$pack" app/mine
  cd elsewhere
  expect_exit 0 slipway build --stack host --network none --progress heroku -b ./pack ../app
  contains "$err" "Using buildpack: ./pack"
  expect_exit 2 slipway build --stack host -b ./mine ../app
  contains "$err" "the app has one: -b $(dirname "$PWD")/app/mine"
  git init -q --bare repo.git
  expect_exit 2 slipway build --stack host -b "$PWD/repo.git#v1" ../app
  contains "$err" "-b 'file://$PWD/repo.git#v1'"
}

# Each place names another pack; the first that is there wins, and the transcript says which.
test_the_order_of_selection() {
  local name
  mkdir -p packs
  for name in flag config json list; do
    pack "$name" </dev/null
    cp -r "$pack" "packs/$name"
  done
  expect_exit 3 build
  contains "$err" '-----> Determining which buildpack to use for this app'
  echo './packs/list' >.buildpacks
  built_with
  contains "$err" $'-----> Using buildpack: ./packs/list\n       (listed in .buildpacks)\n-----> list app detected'
  printf '{\n  "buildpacks": [\n    {"url": "./packs/json"}\n  ]\n}\n' >app.json
  built_with
  contains "$err" $'./packs/json\n       (listed in app.json (line 3))\n-----> json app detected'
  contains "$err" '.buildpacks names buildpacks too; app.json wins'
  built_with -- -e "BUILDPACK_URL=$(packs_folder)/config"
  contains "$err" $'(named by config var BUILDPACK_URL)\n-----> config app detected'
  contains "$err" 'app.json names buildpacks too; config var BUILDPACK_URL wins'
  built_with "$(packs_folder)/flag" -- -e "BUILDPACK_URL=$(packs_folder)/config"
  contains "$err" $'(named with -b)\n-----> flag app detected'
  contains "$err" 'config var BUILDPACK_URL names buildpacks too; -b wins'
}

test_several_in_buildpacks_file_run_in_order() {
  local name
  for name in one two; do
    pack "$name" <<<"echo compiling $name"
    mkdir -p packs
    cp -r "$pack" packs/
  done
  printf '# comment\n./packs/one\n\n./packs/two\n' >.buildpacks
  built_with
  contains "$err" $'-----> Using buildpacks:\n       1. ./packs/one\n       2. ./packs/two\n'
  stands_before "$err" 'compiling one' 'compiling two'
}

test_app_files_cannot_reach_outside() {
  pack outside </dev/null
  printf '{"buildpacks": [{"url": "%s"}]}\n' "$pack" >app.json
  expect_exit 4 build
  contains "$err" 'app.json:1'
  contains "$err" 'may not name what lies outside'
  echo '{"buildpacks": ["nodejs"]}' >app.json
  expect_exit 4 build
  contains "$err" 'app.json:1'
}

# SRC-13: several built-in packs would; the first is used, and then it is the app's.
test_detection_warns_and_pins_the_first() {
  echo '{}' >package.json
  touch mix.exs
  expect_exit 0 slipway detect . --stack host --network none --json
  equal "$(json "$out" '[.buildpacks[] | select(.detected) | .buildpack] | join(",")')" 'nodejs,elixir,phoenix-static'
  equal "$(json "$out" .reason)" 'none named, so each built-in one is asked'
  expect_exit 1 build
  contains "$err" '-----> Determining which buildpack to use for this app'
  contains "$err" ' !     Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used.'
  contains "$err" $'\t\t\tDetected buildpacks: '
  contains "$err" $'\t\t\tSee https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order'
  contains "$err" '-----> Node.js app detected'
}

test_nothing_detected() {
  expect_exit 3 build
  contains "$err" $' !     No default language could be detected for this app.\n\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.\n\t\t\tSee https://devcenter.heroku.com/articles/buildpacks\n\n !     Push failed'
  expect_exit 3 slipway detect . --stack host --network none
  contains "$out" 'nodejs'
  contains "$out" 'no'
}

# SRC-14, DET-2
test_a_failing_detect_of_a_listed_pack_ends_the_build() {
  pack good <<<'echo compiled good'
  local good=$pack
  pack bad <<<'echo never'
  detect_script "$pack" 'echo "needs x.json"; echo "on stderr" >&2; exit 1'
  expect_exit 3 build -b "$good" -b "$pack"
  contains "$err" 'compiled good'
  contains "$err" "-----> App not compatible with buildpack: $pack"
  contains "$err" $'       needs x.json\non stderr\n'
  contains "$err" '       More info: https://devcenter.heroku.com/articles/buildpacks#buildpack-auto-detection'
  contains "$err" ' !     Push failed'
  lacks "$err" never
}

# DET-1, DET-4
test_a_silent_detect_shows_the_pack_and_runs_once() {
  pack silent </dev/null
  detect_script "$pack" "echo x >>\"\$1/detected\""
  write_script "$pack/bin/compile" 'wc -l <"$1/detected" | sed "s/^/detected times /"'
  built_with "$pack" -- --metadata-file "$dir/m.json"
  contains "$err" "-----> $pack app detected"
  contains "$err" $'detected times 1\n'
  equal "$(json m.json .buildpack_provided_description)" "$pack"
}

# A later detect sees what an earlier compile made.
test_detect_sees_the_work_of_earlier_packs() {
  pack maker <<<'touch "$build/made"'
  local maker=$pack
  pack needs </dev/null
  detect_script "$pack" 'test -e "$1/made" && echo Needs'
  expect_exit 3 build -b "$pack" -b "$maker"
  built_with "$maker" "$pack"
  contains "$err" '-----> Needs app detected'
}

# The same app as a folder, a tarball, a git URL with a ref, and a bare repository.
test_apps_from_every_kind_of_source() {
  need_program git
  local app=$test_state/work/shop kind
  pack show <<<'cd "$build"; find . | sort | sed "s/^/has /"; cat text; echo "source [$SOURCE_VERSION]"'
  mkdir -p "$app/sub"
  echo content >"$app/text"
  echo '#!/bin/sh' >"$app/sub/run.sh"
  chmod 755 "$app/sub/run.sh"
  ln -s text "$app/link"
  tar czf wrapped.tar.gz -C "$app/.." shop
  tar cf flat.tar -C "$app" .
  git -C "$app" init -q -b main
  commit_all "$app" one
  local commit
  commit=$(git -C "$app" rev-parse HEAD)
  git clone -q --bare "$app" shop.git
  echo changed >"$app/text"
  commit_all "$app" two
  for kind in wrapped.tar.gz flat.tar; do
    expect_exit 0 slipway build "$kind" --no-cache --stack host --network none --progress heroku -b "$pack"
    contains "$err" $'has .\nhas ./link\nhas ./sub\nhas ./sub/run.sh\nhas ./text\ncontent\nsource []'
  done
  for kind in "$dir/shop.git" "$dir/shop.git#main" "file://$dir/shop.git" "file://$app#$commit"; do
    expect_exit 0 slipway build "$kind" --no-cache --stack host --network none --progress heroku -b "$pack"
    contains "$err" $'has .\nhas ./link\nhas ./sub\nhas ./sub/run.sh\nhas ./text\ncontent\nsource ['"$commit]"
  done
  expect_exit 0 slipway build "$app" --stack host --network none --progress heroku -b "$pack"
  contains "$err" changed
  lacks "$err" 'has ./.git'
}

test_a_submodule_cannot_reach_into_this_machine() {
  need_program git
  local part=$test_state/work/part
  mkdir "$part"
  echo private >"$part/file"
  git -C "$part" init -q -b main
  commit_all "$part" part
  git init -q -b main
  git -c protocol.file.allow=always submodule --quiet add "file://$part" part
  commit_all . one
  expect_exit 5 slipway build "file://$dir" --stack host --network none --progress heroku
  contains "$err" "submodule part: 'file://$part' is not fetched"
}

test_plan_shows_the_steps_and_what_is_cached() {
  pack plain <<<'echo "${SOURCE_VERSION}"'
  expect_exit 0 slipway plan . --stack host --network none --json -b "$pack"
  equal "$(json "$out" '[.steps[] | select(.op == "exec") | .title] | join("; ")')" \
    "detect $pack; compile $pack; release $pack"
  equal "$(json "$out" '[.steps[] | select(.op == "exec") | .cached] | any')" false
  equal "$(json "$out" .stack)" host
  built_with "$pack"
  expect_exit 0 slipway plan . --stack host --network none --json -b "$pack"
  equal "$(json "$out" '.steps[-1].cached')" true
  expect_exit 0 slipway plan . --stack host --network none -b "$pack"
  contains "$out" "compile $pack"
}

run_tests "$@"
