# shellcheck shell=bash
# What the app's package.json asks for, and the steps that run its scripts.

# project::read BUILD_DIR: sets manager, wanted_node, wanted_npm and wanted_manager.
project::read() {
  local file="$1/package.json" declared problem
  problem="$(jq -e 'type == "object"' "$file" 2>&1 >/dev/null)" ||
    output::fail "package.json is not valid JSON: ${problem:-it has to be an object}"
  if problem="$(packages::locks_disagree "$1")"; then
    output::fail "Two package managers' lock files are in the app: $problem" "Keep the one that the team uses and delete the other."
  fi
  manager="$(packages::manager "$1")"
  wanted_node="$(project::_engine "$file" node)"
  wanted_npm="$(project::_engine "$file" npm)"
  if [[ -z "$wanted_node" && -f "$1/.nvmrc" ]]; then
    wanted_node="$(tr -d '[:space:]' <"$1/.nvmrc")"
    wanted_node="${wanted_node#v}"
  fi
  wanted_manager="$(project::_engine "$file" "$manager")"
  declared="$(jq -r '.packageManager // empty' "$file")"
  if [[ "$declared" == "$manager"@* ]]; then
    declared="${declared#*@}"
    wanted_manager="${declared%%+*}"
    [[ "$manager" != npm ]] || wanted_npm="$wanted_manager"
  fi
}

project::_engine() { jq -r --arg name "$2" '.engines[$name] // empty' "$1"; }

# project::export_config: the app's config vars, and what builds of Node apps expect beside them.
project::export_config() {
  env::export "$ENV_DIR"
  export NODE_ENV="${NODE_ENV:-production}"
  # V8 takes the machine's memory for its own; a container's limit is often below that.
  export NODE_OPTIONS="${NODE_OPTIONS:---max_old_space_size=2560}"
}

# project::script NAME: runs a script of package.json when there is one.
project::script() {
  [[ -n "$(packages::script "$BUILD_DIR" "$1")" ]] || return 0
  output::detail "Running $1"
  (cd "$BUILD_DIR" && output::run "$manager" run "$1") || output::fail "The script \"$1\" of package.json failed, see above."
}

# project::build: heroku-postbuild takes the place of build, so that an app can do less here than at home.
project::build() {
  if [[ -n "$(packages::script "$BUILD_DIR" heroku-postbuild)" ]]; then
    project::script heroku-postbuild
  else
    project::script build
  fi
}

project::install() {
  if [[ -d "$BUILD_DIR/node_modules" ]]; then
    output::warning "node_modules is checked in: it is rebuilt for this system instead of installed."
    (cd "$BUILD_DIR" && output::run npm rebuild) || output::fail "npm rebuild failed, see above."
    node_modules_committed=true
  else
    packages::install "$BUILD_DIR" "$CACHE_DIR"
  fi
}

# project::keeps_development: whether the app asks for its development packages at run time.
project::keeps_development() {
  [[ "$NODE_ENV" != production || "${NPM_CONFIG_PRODUCTION:-}" == false || "${YARN_PRODUCTION:-}" == false || "${PNPM_SKIP_PRUNING:-}" == true ]]
}

project::prune() {
  local -a command
  if [[ "$node_modules_committed" == true || ! -d "$BUILD_DIR/node_modules" ]]; then
    return 0
  fi
  if project::keeps_development; then
    output::detail "Skipping: the app keeps its development packages"
    return 0
  fi
  case "$manager" in
    pnpm)
      packages::pnpm_settings "$CACHE_DIR"
      command=(pnpm prune --prod --ignore-scripts)
      ;;
    yarn)
      if [[ -f "$BUILD_DIR/.yarnrc.yml" ]]; then
        command=(yarn workspaces focus --all --production)
      else
        command=(yarn install --frozen-lockfile --production=true --ignore-scripts --non-interactive --prefer-offline --cache-folder "$CACHE_DIR/yarn")
      fi
      ;;
    *) command=(npm prune --omit=dev --ignore-scripts --no-audit --no-fund --prefer-offline --cache "$CACHE_DIR/npm") ;;
  esac
  (cd "$BUILD_DIR" && output::run "${command[@]}") || output::fail "Pruning development packages failed, see above."
}
