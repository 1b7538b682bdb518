# shellcheck shell=bash
# Downloads answered by a loopback server, and by nobody.

test_download_names_step_and_host_of_a_dead_server() {
  use output env download
  local message
  # Nothing listens on port 9.
  message="$( (download::fetch "Fetching Erlang 27" http://127.0.0.1:9/x "$T/x") 2>&1 || true)"
  has "$message" " !     Fetching Erlang 27 failed: 127.0.0.1:9 does not deliver."
}

test_download_missing_file_is_an_answer() {
  use output env download
  mkdir "$T/www"
  serve "$T/www"
  local status=0
  download::fetch step "$url/none" "$T/x" || status=$?
  equal 4 "$status"
}

test_download_wrong_checksum_stops() {
  use output env download
  echo text >"$T/file"
  local message
  message="$( (download::check "$T/file" 0123) 2>&1 || true)"
  has "$message" "The checksum of file is wrong"
}

# A tree like one of the Hex project's OTP builds.
# shellcheck disable=SC2016  # the text of the scripts
fake_otp() {
  mkdir -p "$1/bin" "$1/erts-1/bin"
  printf '#!/bin/sh\nROOTDIR=/built/here\necho "$ROOTDIR"\n' >"$1/bin/erl"
  printf '#!/bin/sh\n[ "$1" = -minimal ] && chmod +x "$2/bin/erl"\n' >"$1/Install"
  chmod +x "$1/Install"
}

erlang_request() {
  use output env version scratch cache download
  # shellcheck source=/dev/null
  source "$PACKS/elixir/src/runtimes.sh"
  mkdir -p "$T/env"
  fake_otp "$T/otp/OTP-27.1"
  local folder
  folder="$T/www/$(runtimes::otp_folder)"
  mkdir -p "$folder"
  tar -czf "$folder/OTP-27.1.tar.gz" -C "$T/otp" OTP-27.1
  local sum
  sum="$(sha256sum "$folder/OTP-27.1.tar.gz" | cut -d ' ' -f 1)"
  printf 'OTP-26.0 c0ffee 2023-05-16T00:00:00Z %s\nOTP-27.1 c0ffee 2024-09-18T00:00:00Z %s\nmaint c0ffee 2024-01-01T00:00:00Z\n' "$sum" "$sum" >"$folder/builds.txt"
  serve "$T/www"
  printf %s "$url" >"$T/env/HEX_BUILDS_URL"
  runtimes::prebuilt_erlang "$1" "$T/erlang" "$T/env" 25.2.3
}

test_erlang_comes_from_the_projects_builds() {
  erlang_request 27
  equal 27.1 "$resolved_version"
  runtimes::relocate "$T/erlang"
  mv "$T/erlang" "$T/moved"
  equal "$T/moved" "$("$T/moved/bin/erl")"
}

test_erlang_that_nobody_has_names_what_there_is() {
  local message
  message="$( (erlang_request 28) 2>&1 || true)"
  has "$message" "There is no Erlang 28 to be had."
  has "$message" "The stack has Erlang 25.2.3"
  has "$message" "Prebuilt: 26.0 27.1"
}

node_request() {
  use output env version scratch cache download apt node
  local name version=20.11.1 platform sum
  platform="$(node::platform)"
  name="node-v$version-$platform"
  mkdir -p "$T/env" "$T/tree/$name"/{bin,include/node,lib/node_modules/npm/bin} "$T/www/v$version"
  printf '#!/bin/sh\necho v%s\n' "$version" >"$T/tree/$name/bin/node"
  chmod +x "$T/tree/$name/bin/node"
  echo '{"name":"npm","version":"10.2.4"}' >"$T/tree/$name/lib/node_modules/npm/package.json"
  tar -czf "$T/www/v$version/$name.tar.gz" -C "$T/tree" "$name"
  sum="$(sha256sum "$T/www/v$version/$name.tar.gz" | cut -d ' ' -f 1)"
  printf '%s  %s.tar.gz\n' "$sum" "$name" >"$T/www/v$version/SHASUMS256.txt"
  printf '[{"version":"v21.0.0","files":["aix-ppc64"]},{"version":"v%s","files":["%s"]}]' "$version" "$platform" >"$T/www/index.json"
  serve "$T/www"
  printf %s "$url" >"$T/env/NODE_BUILDS_URL"
  node::install "$1" "" "$T/app/.heroku/node" "$T/cache" "$T/env"
}

test_node_comes_from_alternative_builds() {
  command -v jq >/dev/null || skip "no jq"
  node_request "^20.1.0"
  equal "20.11.1 10.2.4" "$node_version $npm_version"
  equal v20.11.1 "$("$T/app/.heroku/node/bin/node")"
  equal "$T/cache/runtime/headers" "$npm_config_nodedir"
  [[ ! -e "$T/app/.heroku/node/include" && -d "$T/cache/runtime/headers/include/node" ]]
  # Without a server the cached one answers every range it lies in.
  kill "$server"
  has "$(node::install 20.x "" "$T/app2/node" "$T/cache" "$T/env")" "from the cache"
}

test_node_that_nobody_has_names_what_there_is() {
  command -v jq >/dev/null || skip "no jq"
  local message
  message="$( (node_request 99) 2>&1 || true)"
  has "$message" "There is no Node.js 99 to be had."
  has "$message" "The newest of each line: 20.11.1"
  message="$( (node_request "twenty") 2>&1 || true)"
  has "$message" '"twenty" is not a version range for Node.js.'
}
