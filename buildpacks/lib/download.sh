# shellcheck shell=bash
# Files from the origins in origins.json. Needs output.sh and env.sh.

# download::origin NAME ENV_DIR: base URL; the override is a config var or an environment variable.
download::origin() {
  local file="${BASH_SOURCE[0]%/*}/origins.json" variable
  variable="$(jq -r --arg name "$1" '.[$name].override' "$file")"
  env::get "$2" "$variable" "$(jq -r --arg name "$1" '.[$name].url' "$file")"
}

# download::host URL -> host[:port]
download::host() {
  local rest="${1#*://}"
  rest="${rest%%/*}"
  printf '%s\n' "${rest##*@}"
}

# download::fetch STEP URL FILE: 0 = there, 4 = the server says that there is no such file.
# Anything else ends the build and names the step and the host, and what download_hint says.
download_hint=""

download::fetch() {
  local step="$1" url="$2" file="$3" code="" status=0 error
  error="$(mktemp)"
  code="$(curl --silent --show-error --location --fail-with-body \
    --retry 2 --retry-connrefused --retry-max-time 30 --connect-timeout 10 --speed-limit 1 --speed-time 60 \
    --output "$file.part" --write-out '%{http_code}' "$url" 2>"$error")" || status=$?
  if [[ $status -eq 0 ]]; then
    rm -f "$error"
    mv "$file.part" "$file"
    return 0
  fi
  rm -f "$file.part"
  if [[ "$code" == 404 || "$code" == 403 || "$code" == 410 ]]; then
    rm -f "$error"
    return 4
  fi
  local cause
  cause="$(sed -n 's/^curl: ([0-9]*) //p' "$error" | tail -n 1)"
  rm -f "$error"
  output::fail "$step failed: $(download::host "$url") does not deliver." \
    "${cause:-curl ended with status $status}" "URL: ${url%%\?*}" ${download_hint:+"$download_hint"}
}

# download::check FILE SHA256: an empty sum means that the origin publishes none.
download::check() {
  local sum
  [[ -n "$2" ]] || return 0
  sum="$(sha256sum "$1" | cut -d ' ' -f 1)"
  [[ "$sum" == "$2" ]] || output::fail "The checksum of ${1##*/} is wrong: the download is damaged or was changed." \
    "expected $2" "actual   $sum"
}
