# shellcheck shell=bash
# Installing a folder's JavaScript packages with the manager its lock file names.
# Needs output.sh, cache.sh and node.sh. CACHE_DIR here is the calling pack's own folder.

# packages::manager DIR: npm, yarn or pnpm.
packages::manager() {
  if [[ -f "$1/pnpm-lock.yaml" ]]; then
    printf 'pnpm\n'
  elif [[ -f "$1/yarn.lock" ]]; then
    printf 'yarn\n'
  else
    printf 'npm\n'
  fi
}

# packages::lock_file DIR: the lock file's path, empty when there is none.
packages::lock_file() {
  local name
  for name in pnpm-lock.yaml yarn.lock npm-shrinkwrap.json package-lock.json; do
    if [[ -f "$1/$name" ]]; then
      printf '%s\n' "$1/$name"
      return 0
    fi
  done
}

# packages::locks_disagree DIR: names the lock files when managers contradict each other.
packages::locks_disagree() {
  local -a found=()
  [[ ! -f "$1/pnpm-lock.yaml" ]] || found+=(pnpm-lock.yaml)
  [[ ! -f "$1/yarn.lock" ]] || found+=(yarn.lock)
  [[ ! -f "$1/package-lock.json" ]] || found+=(package-lock.json)
  [[ ${#found[@]} -gt 1 ]] && printf '%s\n' "${found[*]}"
}

# packages::script DIR NAME: the command of a script of package.json, empty when there is none.
packages::script() { jq -r --arg name "$2" '.scripts[$name] // empty' "$1/package.json"; }

# packages::_signature DIR: what node_modules is made from.
packages::_signature() {
  {
    printf '%s\n' "$node_version $npm_version ${STACK:-} ${NODE_ENV:-}"
    cat "$1/package.json" "$(packages::lock_file "$1")"
    [[ ! -f "$1/.npmrc" ]] || cat "$1/.npmrc"
  } | sha256sum | cut -d ' ' -f 1
}

# packages::_replaceable DIR: whether restoring node_modules is all that installing would do. Not so
# without a lock, with scripts of the app's own, or where packages lie outside node_modules.
packages::_replaceable() {
  local file="$1/package.json"
  [[ -n "$(packages::lock_file "$1")" ]] || return 1
  jq -e '(.workspaces | not) and ((.scripts // {}) | has("preinstall") or has("install") or has("postinstall") or has("prepare") | not)' \
    "$file" >/dev/null || return 1
  [[ ! -f "$1/.pnp.cjs" && ! -f "$1/.yarnrc.yml" ]] || return 1
  [[ -f "$1/package-lock.json" ]] || ! grep -qE '"(file|link|portal):' "$file"
}

# packages::install DIR CACHE_DIR: all packages, those for development included. The result is taken
# from the cache when nothing that goes into it has changed.
packages::install() {
  local dir="$1" cache="$2" manager signature=""
  manager="$(packages::manager "$dir")"
  ! packages::_replaceable "$dir" || signature="$(packages::_signature "$dir")"
  if [[ -n "$signature" ]] && cache::is "$cache/node_modules.signature" "$signature"; then
    output::detail "Restoring node_modules (unchanged: ${manager})"
    cache::copy "$cache/node_modules" "$dir/node_modules"
    return 0
  fi
  cache::remove "$cache/node_modules.signature" "$cache/node_modules"
  mkdir -p "$cache"
  packages::_install_with "$manager" "$dir" "$cache"
  [[ -n "$signature" ]] || return 0
  cache::copy "$dir/node_modules" "$cache/node_modules"
  cache::mark "$cache/node_modules.signature" "$signature"
}

packages::_install_with() {
  local manager="$1" dir="$2" cache="$3"
  local -a command
  case "$manager" in
    pnpm)
      packages::pnpm_settings "$cache"
      command=(pnpm install --frozen-lockfile --prod=false --reporter=append-only)
      ;;
    yarn) packages::_yarn_command ;;
    *)
      command=(npm ci)
      [[ -n "$(packages::lock_file "$dir")" ]] || command=(npm install --no-package-lock)
      command+=(--include=dev --prefer-offline --no-audit --no-fund --cache "$cache/npm")
      ;;
  esac
  output::detail "Installing packages (${command[*]:0:2})"
  (cd "$dir" && output::run "${command[@]}") ||
    output::fail "Installing packages with $manager failed, see above." \
      "Lock file: $(packages::lock_file "$dir" | grep . || echo none)"
}

# packages::pnpm_settings CACHE_DIR: for every call of pnpm in this build. Copies, because a file that is
# shared with the store would change there too; and pnpm asks before it replaces a folder.
packages::pnpm_settings() {
  export npm_config_store_dir="$1/pnpm" npm_config_package_import_method=copy npm_config_confirm_modules_purge=false
}

packages::_yarn_command() {
  if [[ -f "$dir/.yarnrc.yml" ]]; then
    export YARN_CACHE_FOLDER="$cache/yarn" YARN_ENABLE_GLOBAL_CACHE=false
    command=(yarn install --immutable)
  else
    command=(yarn install --frozen-lockfile --production=false --non-interactive --prefer-offline --cache-folder "$cache/yarn")
  fi
}
