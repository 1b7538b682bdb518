# shellcheck shell=bash
# Where tools find Node: in later packs, and at run time.

# paths::write BUILD_DIR PACK_DIR
paths::write() {
  mkdir -p "$1/.profile.d"
  cp "$2/profile/nodejs.sh" "$2/profile/WEB_CONCURRENCY.sh" "$1/.profile.d/"
  {
    # PATH is text here: it is expanded when the file is sourced.
    # shellcheck disable=SC2016
    printf 'export PATH="%s/.heroku/node/bin:$PATH:%s/node_modules/.bin"\n' "$1" "$1"
    printf 'export NODE_HOME="%s/.heroku/node"\n' "$1"
    # Later packs that build native code use the same headers.
    printf 'export npm_config_nodedir="%s"\n' "$npm_config_nodedir"
  } >"$2/export"
}
