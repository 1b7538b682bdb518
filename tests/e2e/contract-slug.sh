#!/bin/bash
# What a slug holds and how it is made: .slugignore, the archive, limits, the same bytes for the same
# input, the manifest, inspection (specs: IGN, SLUG).
# shellcheck disable=SC2016 # the packs' scripts stand in single quotes
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

# members SLUG: its files and links below ./app/, sorted.
members() { tar tzf "$1" | sed -n 's,^\./app/,,p' | grep -v '/$' | grep . | LC_ALL=C sort | tr '\n' ' '; }

# IGN-1..4
test_slugignore_by_its_grammar() {
  pack lister <<<'cd "$build"; find . -type f | sed "s,^\./,," | LC_ALL=C sort | tr "\n" " " | sed "s/^/sees /"'
  detect_script "$pack" 'test ! -e "$1/top.psd" && echo Before'
  mkdir -p test/deep sub/test docs/more 'a' b .hidden sub/.git tmp log deep/x/y
  touch top.psd sub/deep.psd test/one test/deep/two sub/test/kept docs/a.md docs/more/b.md docs/c.txt \
    a/file b/file c d '!x' x .hidden.psd .hidden/in tmp/kept log/kept '#' sub/.git/config \
    deep/x/y/z.log deep/z.log keep
  cat >.slugignore <<'E'
*.psd
/test
docs/*.md
a b
# c
d # not this
!x
deep/**/*.log

E
  built_with "$pack" -- --slug "$dir/../s.tgz"
  contains "$err" '-----> Before app detected'
  # Dotfiles are not matched by *; "sub/test" is not at the root; "c" stands in a comment.
  contains "$err" 'sees # .hidden.psd .hidden/in .slugignore c docs/c.txt docs/more/b.md keep log/kept sub/test/kept tmp/kept x '
  equal "$(members ../s.tgz)" '# .hidden.psd .hidden/in .slugignore c docs/c.txt docs/more/b.md keep log/kept sub/test/kept tmp/kept x '
  grep -qxE -- '-----> Deleting [0-9]+ files matching \.slugignore patterns\.' "$err" || fail "no line of the count"
}

test_slugignore_that_matches_nothing_tells_zero() {
  pack plain </dev/null
  echo '*.none' >.slugignore
  built_with "$pack"
  contains "$err" '-----> Deleting 0 files matching .slugignore patterns.'
  rm .slugignore
  built_with "$pack"
  lacks "$err" 'Deleting'
}

test_only_the_top_slugignore_counts() {
  pack plain </dev/null
  mkdir sub
  echo '*' >sub/.slugignore
  touch sub/kept
  built_with "$pack" -- --slug "$dir/../s.tgz"
  equal "$(members ../s.tgz)" 'sub/.slugignore sub/kept '
}

# SLUG-1, SLUG-2
test_the_archive_is_what_a_dyno_unpacks() {
  need_program python3
  pack maker <<'E'
cd "$build"
mkdir -p bin empty
printf '#!/bin/sh\n' >bin/run && chmod 755 bin/run
echo data >file && ln file hard && ln -s file link && ln -s nowhere broken && ln -s /app/file absolute
mkfifo pipe
head -c 1048576 /dev/zero >sparse-like && truncate -s 3M sparse-like
long=$(printf 'n%.0s' $(seq 120)); mkdir -p "$long/$long" && echo deep >"$long/$long/$long"
printf x >"$(printf 'odd \377 name')"
chmod 640 file
E
  built_with "$pack" -- --slug "$dir/../s.tgz"
  tar tvzf ../s.tgz >listing
  if grep -vE '^[-dl][rwx-]{9} root/root ' listing | grep .; then fail "odd owners or kinds"; fi
  if grep -vE ' \./app/' listing | grep .; then fail "members outside ./app/"; fi
  contains listing './app/link -> file'
  contains listing './app/broken -> nowhere'
  contains listing './app/absolute -> /app/file'
  lacks listing ' link to '
  grep -qE '^-rwxr-xr-x .* \./app/bin/run$' listing || fail "the exec bit is lost"
  grep -qE '^drwx.* \./app/empty/$' listing || fail "the empty folder is lost"
  lacks listing '/pipe'
  contains "$err" 'pipe'
  mkdir unpacked
  tar xzf ../s.tgz -C unpacked
  equal "$(cat unpacked/app/hard)" data
  equal "$(find unpacked -name 'n*' -type f -exec cat {} +)" deep
  equal "$(stat -c %s unpacked/app/sparse-like)" 3145728
  # GNU, and no time is 0.
  python3 - ../s.tgz <<'E'
import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    for member in tar:
        assert member.mtime > 0, member.name
        assert member.uid == member.gid == 0, member.name
        assert not member.issparse() and not member.pax_headers, member.name
E
}

# SLUG-5, OUT-6
test_the_hard_limit_names_the_largest_folders() {
  pack big <<'E'
mkdir -p "$build/node_modules" "$build/assets"
head -c 3000000 /dev/urandom >"$build/node_modules/x"
head -c 1000000 /dev/urandom >"$build/assets/y"
E
  expect_exit 1 build -b "$pack" --max-size 2M --slug "$dir/../s.tgz"
  contains "$err" ' !     Compiled slug size: 3.8M is too large (max is 2M).'
  contains "$err" ' !     See: http://devcenter.heroku.com/articles/slug-size'
  contains "$err" ' !     Push failed'
  stands_before "$err" 'node_modules (' 'assets ('
  contains "$err" '.slugignore'
  test ! -e ../s.tgz || fail "a slug over the limit was written"
  expect_exit 0 build -b "$pack" --max-size 5M
  expect_exit 2 build -b "$pack" --max-size much
  contains "$err" '--max-size much: not a size'
}

# --- the same input, the same bytes ---

fill_app() { # FOLDER
  mkdir -p "$1/lib" "$1/priv"
  local i
  for i in $(seq 40); do seq "$i" >"$1/lib/file-$i"; done
  echo '#!/bin/sh' >"$1/run" && chmod 755 "$1/run"
  ln -s run "$1/link"
  echo 'web: ./run' >"$1/Procfile"
}

test_same_input_same_bytes() {
  pack steady <<'E'
mkdir -p "$build/out"
for i in $(seq 20); do echo "made $i in $build" >"$build/out/$i"; done
env | grep -vE '^(_|SHLVL)=' | LC_ALL=C sort >"$build/env"
E
  mkdir one two
  fill_app one/shop
  fill_app two/other-name
  # Another day, another order of creation, another umask.
  find two -exec touch -h -d '2003-04-05' {} +
  mv two/other-name/lib/file-1 two/other-name/lib/t && mv two/other-name/lib/t two/other-name/lib/file-1
  local arguments=(--stack host --network none --progress heroku -b "$pack" --app shop)
  expect_exit 0 slipway build one/shop "${arguments[@]}" --slug one.tgz --metadata-file one.json
  export SLIPWAY_HOME=$test_state/other-store
  expect_exit 0 slipway build two/other-name "${arguments[@]}" --slug two.tgz --metadata-file two.json
  cmp one.tgz two.tgz
  equal "$(json one.json .checksum)" "$(json two.json .checksum)"
  export SOURCE_DATE_EPOCH=1234567890
  expect_exit 0 slipway build one/shop "${arguments[@]}" --slug three.tgz
  if cmp -s one.tgz three.tgz; then fail "SOURCE_DATE_EPOCH changed nothing"; fi
  tar tvzf three.tgz --utc | grep -q '2009-02-13 23:31 ./app/run' || fail "the time of SOURCE_DATE_EPOCH is missing"
}

# --- the manifest ---

# SLUG-6
test_the_manifest_fits_the_slug_record() {
  need_program git
  git init -q -b main
  echo 'web: bin/web' >Procfile
  git add -A
  git -c user.name=t -c user.email=t@localhost -c commit.gpgsign=false commit -q -m one
  git clone -q --bare . ../shop.git
  pack first First </dev/null
  local first=$pack
  pack second 'Second 2' </dev/null
  release_script "$pack" 'echo "default_process_types: {console: irb}"'
  expect_exit 0 slipway build ../shop.git --stack host --network none --progress heroku \
    -b "$first" -b "$pack" --slug ../s.tgz --metadata-file ../m.json
  equal "$(json ../m.json .checksum)" "SHA256:$(sha256sum <../s.tgz | cut -d' ' -f1)"
  equal "$(json ../m.json .size)" "$(stat -c %s ../s.tgz)"
  equal "$(json ../m.json .commit)" "$(git rev-parse HEAD)"
  equal "$(json ../m.json .stack.name)" host
  equal "$(json ../m.json .app)" shop
  equal "$(json ../m.json .buildpack_provided_description)" 'Second 2'
  equal "$(json ../m.json '.process_types | tojson')" '{"console":"irb","web":"bin/web"}'
  equal "$(json ../m.json '[.buildpacks[].description] | join(",")')" 'First,Second 2'
  equal "$(json ../m.json .build)" "$(basename "$SLIPWAY_HOME"/logs/*.log .log)"
}

test_a_slug_can_go_to_stdout() {
  pack plain </dev/null
  touch file
  expect_exit 0 build -b "$pack" --slug -
  equal "$(members "$out")" 'file '
  expect_exit 0 build -b "$pack"
  grep -qxE '[0-9]{8}-[0-9]{6}-[0-9a-f]{6}' "$out" || fail "the build's id is not told"
}

# --- inspection ---

test_inspect_tells_who_brought_what() {
  pack npm Npm <<'E'
mkdir -p "$build/node_modules/left-pad" "$build/node_modules/big"
head -c 200000 /dev/urandom >"$build/node_modules/big/data"
echo '{"name": "left-pad", "version": "1.3.0"}' >"$build/node_modules/left-pad/package.json"
echo '{"name": "big", "version": "2.0.0"}' >"$build/node_modules/big/package.json"
cp "$build/node_modules/big/data" "$build/copy"
E
  echo source >own
  built_with "$pack" -- --slug "$dir/../s.tgz"
  expect_exit 0 slipway slug inspect ../s.tgz
  contains "$out" 'by buildpack'
  contains "$out" "$pack"
  contains "$out" "(the app's source)"
  contains "$out" node_modules
  contains "$out" left-pad
  contains "$out" 'the same content more than once'
  expect_exit 0 slipway slug inspect ../s.tgz --json
  equal "$(json "$out" '.largest[0].raw_size')" 200000
  equal "$(json "$out" '.duplicates | length')" 1
  equal "$(json "$out" '[.packages[].name | select(test("left-pad"))] | length')" 1
  equal "$(json "$out" ".buildpacks[] | select(.name == \"$pack\") | .files")" 4
  equal "$(json "$out" .manifest.checksum)" "SHA256:$(sha256sum <../s.tgz | cut -d' ' -f1)"
}

test_inspect_reads_slugs_of_other_makers() {
  mkdir -p app/lib app/node_modules/x
  head -c 50000 /dev/urandom >app/lib/big
  echo 'web: run' >app/Procfile
  echo '{"name": "x", "version": "1.0.0"}' >app/node_modules/x/package.json
  ln -s lib/big app/link
  tar czf gnu.tgz --format=gnu ./app
  expect_exit 0 slipway slug inspect gnu.tgz --json
  equal "$(json "$out" .process_types.web)" run
  equal "$(json "$out" '.largest[0] | "\(.name) \(.raw_size)"')" 'lib/big 50000'
  equal "$(json "$out" .manifest)" null
  expect_exit 0 slipway slug inspect gnu.tgz
  contains "$out" 'lib'
  echo 'no archive' >bad.tgz
  expect_exit 4 slipway slug inspect bad.tgz
  contains "$err" bad.tgz
  head -c 20000 gnu.tgz >cut.tgz
  expect_exit 4 slipway slug inspect cut.tgz
  contains "$err" cut.tgz
}

test_diff_tells_what_grew() {
  pack plain </dev/null
  mkdir lib assets
  head -c 30000 /dev/urandom >lib/same
  head -c 1000 /dev/urandom >assets/a
  built_with "$pack" -- --slug "$dir/../before.tgz"
  head -c 60000 /dev/urandom >assets/b
  built_with "$pack" -- --slug "$dir/../after.tgz"
  expect_exit 0 slipway slug diff ../before.tgz ../after.tgz
  contains "$out" 'compressed '
  grep -qE '\+5[0-9](\.[0-9])?K +assets' "$out" || fail "assets did not grow: $(cat "$out")"
  # What grew most comes first; shares of a chunk are estimates, so others may differ a little.
  equal "$(sed -n '/^by folder/{n;p}' "$out" | awk '{print $2}')" assets
  expect_exit 0 slipway slug diff ../after.tgz ../before.tgz
  grep -qE -- '-5[0-9](\.[0-9])?K +assets' "$out" || fail "assets did not shrink"
}

test_extract_unpacks_into_a_new_folder() {
  pack plain </dev/null
  mkdir bin
  echo '#!/bin/sh' >bin/x
  chmod 755 bin/x
  built_with "$pack" -- --slug "$dir/../s.tgz"
  expect_exit 0 slipway slug extract ../s.tgz ../new
  test -x ../new/app/bin/x || fail "no executable bin/x"
  expect_exit 2 slipway slug extract ../s.tgz ../new
  contains "$err" 'not empty'
}

run_tests "$@"
