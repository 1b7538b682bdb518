#!/bin/bash
# What users get wrong: each case ends with the code of the table, the cause first, then what to do,
# and the next build works.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# An app and a pack that does nothing, in $dir/app and $dir/pack.
new_app() {
  new_dir case
  mkdir app
  echo hello >app/file
  new_pack "$dir/pack" <<<":"
}

build() { slipway build app --stack host --progress plain -b "$dir/pack" "$@"; }

# cause_then_hint HINT: the error's last lines are the hint, and no other error follows it.
cause_then_hint() {
  local last
  last=$(tail -n 1 "$err")
  [[ $last == "hint: "*"$1"* ]] || fail "the last line is '$last', not the hint '$1'"
}

next_build_works() {
  new_pack "$dir/pack" <<<":"
  expect_exit 0 slipway build app --stack host -b "$dir/pack" --slug "$dir/next.tgz"
  tar -tzf "$dir/next.tgz" >"$dir/next.txt"
  contains "$dir/next.txt" "./app/"
}

test_no_buildpack_applies() {
  new_app
  expect_exit 3 slipway build app --stack host --progress plain
  contains "$err" " !     No default language could be detected for this app."
  contains "$err" " !     Push failed"
  cause_then_hint "slipway detect"
  expect_exit 3 slipway detect app --stack host
  contains "$out" "nodejs"
}

test_configured_pack_does_not_detect() {
  new_app
  printf '#!/bin/sh\necho "only for cats"\nexit 1\n' >pack/bin/detect
  expect_exit 3 build
  contains "$err" "App not compatible with buildpack: $dir/pack"
  contains "$err" "only for cats"
  lacks "$err" "app detected"
  cause_then_hint "named with -b"
  next_build_works
}

test_compile_exits_7() {
  new_app
  new_pack pack <<<'echo "cannot find the cats"; echo half >"$1/half"; exit 7'
  expect_exit 1 build --slug "$dir/out.tgz" --metadata-file "$dir/out.json"
  contains "$err" "cannot find the cats"
  contains "$err" "exit 7"
  contains "$err" " !     Push rejected, failed to compile Tiny app."
  cause_then_hint "--debug opens a shell"
  [[ ! -e out.tgz && ! -e out.json ]] || fail "a failed build left outputs"
  # The log named in the hint holds the pack's own words.
  local log
  log=$(sed -n 's/^hint: the full log is in \([^;]*\);.*/\1/p' "$err")
  contains "$log" "cannot find the cats"
  next_build_works
  lacks "$dir/next.txt" "half"
}

test_compile_is_killed() {
  new_app
  local mark=$((RANDOM * 32768 + RANDOM + 10000000))
  new_pack pack <<<"sleep $mark & exec sleep $mark"
  background build --slug "$dir/out.tgz"
  within 20 pgrep -f "^sleep $mark"
  pkill -KILL -f "^sleep $mark"
  local status=0
  wait "$pid" || status=$?
  equal "$status" 1
  contains "$background_log" "exit 137 (128 + signal 9: Killed)"
  contains "$background_log" " !     Push rejected, failed to compile Tiny app."
  [[ ! -e out.tgz ]] || fail "a failed build left a slug"
  next_build_works
}

test_release_prints_broken_yaml() {
  new_app
  printf '#!/bin/sh\nprintf "default_process_types:\\n  web: [1\\n b"\n' >pack/bin/release
  expect_exit 1 build
  contains "$err" "bin/release of $dir/pack printed YAML that cannot be read"
  contains "$err" "(line "
  cause_then_hint "default_process_types"
  printf '#!/bin/sh\nprintf "default_process_types: [a, b]\\n"\n' >pack/bin/release
  expect_exit 1 build
  contains "$err" "bin/release of $dir/pack"
  printf '#!/bin/sh\necho "no idea" >&2\nexit 3\n' >pack/bin/release
  expect_exit 1 build
  contains "$err" "no idea"
  contains "$err" "bin/release of $dir/pack failed (exit 3)"
  cause_then_hint "the full log is in "
  next_build_works
}

# Nothing listens on port 1; the retries of a connection refused take seconds, so both run at once.
test_unreachable_buildpack_names_no_password() {
  new_app
  local first status=0
  background slipway build app --stack host --progress plain -b http://user:secret@127.0.0.1:1/x.tgz
  first=$pid first_log=$background_log
  expect_exit 5 slipway build app --stack host --progress plain -b http://user:secret@127.0.0.1:1/x.git
  lacks "$err" secret
  contains "$err" "127.0.0.1:1/x.git"
  cause_then_hint "check the network and the proxy settings"
  wait "$first" || status=$?
  equal "$status" 5
  lacks "$first_log" secret
  contains "$first_log" "error: GET http://127.0.0.1:1/x.tgz: "
  contains "$first_log" "hint: check the network and the proxy settings"
  # Neither in the logs, nor anywhere in the store.
  if grep -rqa "user:secret" "$SLIPWAY_HOME"; then fail "the password is kept in the store"; fi
  next_build_works
}

test_named_packs_that_are_not_there() {
  new_app
  expect_exit 2 slipway build app --stack host -b "$dir/nowhere"
  contains "$err" "the buildpack '$dir/nowhere' is not there: $dir/nowhere does not exist"
  expect_exit 2 slipway build app --stack host -b nodesj
  contains "$err" "there is no built-in buildpack of that name"
  contains "$err" "hint: did you mean 'nodejs'?"
}

# The option takes one value; what follows is the source.
test_path_may_follow_the_options() {
  new_app
  expect_exit 0 slipway build -b "$dir/pack" --stack host -e A=b --slug "$dir/one.tgz" app
  expect_exit 0 slipway build --stack host --slug "$dir/two.tgz" -e A=b -b "$dir/pack" app
  expect_exit 0 slipway build --stack host --slug "$dir/three.tgz" -b "$dir/pack" -e A=b app
  cmp one.tgz two.tgz
  cmp one.tgz three.tgz
  new_pack second Second <<<":"
  expect_exit 0 slipway build --stack host -b "$dir/pack" -b "$dir/second" --progress plain app
  contains "$err" "-----> Second app detected"
}

test_procfile_with_odd_lines() {
  new_app
  printf 'web: first\r\n# c: x\nfoo bar\n: x\n  lead: y\nweb : z\na-b_c: k\nlast:nospace' >app/Procfile
  expect_exit 0 build --metadata-file "$dir/meta.json"
  contains "$err" " !     Procfile:3:4: no colon after 'foo'"
  contains "$err" " !     Procfile:6:4: blank before the colon"
  contains "$err" " !     Procfile:6:1: 'web' stands on line 1 too; this one wins"
  contains "$err" " !     Procfile:8:6: no blank after 'last:'"
  contains "$err" "Procfile declares types -> a-b_c, foo, lead, web"
  contains meta.json '"a-b_c": "k"'
  lacks meta.json nospace
  # Not text at all.
  printf 'web: x\nb\0\n' >app/Procfile
  expect_exit 4 build
  contains "$err" "error: Procfile:2:2: NUL byte in a text file"
  cause_then_hint "UTF-8"
  : >app/Procfile
  expect_exit 0 build
  contains "$err" "Procfile declares types -> (none)"
}

test_app_json_errors_have_a_position() {
  new_app
  printf '{\n  "name": "x",\n  "buildpacks": [ {"url": 5} ]\n}\n' >app/app.json
  expect_exit 4 build
  contains "$err" "error: app.json:3:27: buildpacks[0].url must be a string, not a number"
  printf '{"name": 4}' >app/app.json
  expect_exit 4 build
  contains "$err" "error: app.json:1:10: name must be a string, not a number"
  printf '{\n "name" 4}' >app/app.json
  expect_exit 4 build
  contains "$err" "error: app.json:2:"
  contains "$err" "not valid JSON"
  printf '[]' >app/app.json
  expect_exit 4 build
  contains "$err" "error: app.json:1:1: "
  rm app/app.json
  next_build_works
}

test_config_var_names() {
  new_app
  expect_exit 2 build -e $'A\nB=c'
  contains "$err" "error: -e: 'A\\x0aB' cannot be the name of a config var"
  cause_then_hint "letters, digits and underscores"
  expect_exit 2 build -e 'A B=c'
  contains "$err" "error: -e: 'A B' cannot be the name of a config var"
  expect_exit 2 build -e '=c'
  contains "$err" "no name before '='"
  expect_exit 2 build -e NOT_IN_THE_ENVIRONMENT
  contains "$err" "NOT_IN_THE_ENVIRONMENT is not set in the environment"
  printf 'GOOD=1\nBAD NAME=2\n' >vars
  expect_exit '2|4' build --env-file vars
  contains "$err" "vars:2"
  # A value may hold anything but NUL.
  new_pack pack <<<'printf "<%s>" "$(cat "$3/TWO")"'
  expect_exit 0 build -e $'TWO=a\nb = c'
  contains "$err" $'<a\nb = c>'
}

test_slug_over_the_limit() {
  new_app
  mkdir app/big
  head -c 300000 /dev/urandom >app/big/noise
  expect_exit 1 build --max-size 100K --slug "$dir/out.tgz"
  contains "$err" "is too large (max is "
  cause_then_hint ".slugignore; largest: big ("
  [[ ! -e out.tgz ]] || fail "a slug over the limit was written"
  expect_exit 0 build --max-size 1M --slug "$dir/out.tgz"
}

# --- odd sources ---

test_fifo_and_device_are_left_out() {
  new_app
  mkfifo app/pipe
  if [[ $(id -u) -eq 0 ]]; then mknod app/null c 1 3; fi
  python3 - <<<'import socket; socket.socket(socket.AF_UNIX).bind("app/socket")'
  expect_exit 0 timeout 60 "$house/slipway" build app --stack host --progress plain -b "$dir/pack" --slug "$dir/out.tgz"
  contains "$err" "pipe"
  equal "$(tar -tzf out.tgz | sort | tr '\n' ' ')" "./app/ ./app/file "
}

test_app_files_that_are_no_files() {
  new_app
  mkfifo app/app.json
  expect_exit 4 timeout 60 "$house/slipway" build app --stack host -b "$dir/pack"
  contains "$err" "app.json is not a regular file"
  rm app/app.json
  mkfifo app/Procfile
  expect_exit 0 timeout 60 "$house/slipway" build app --stack host --progress plain -b "$dir/pack"
}

test_links_that_leave_the_app() {
  new_app
  ln -s ../../../../../etc/passwd app/up
  ln -s /etc/shadow app/shadow
  expect_exit 0 build --slug "$dir/out.tgz"
  # As links, never as what they point to.
  equal "$(tar -tvzf out.tgz | grep -c ' -> ')" 2
  local name
  for name in app.json .slugignore .buildpacks; do
    ln -s /etc/passwd "app/$name"
    expect_exit 4 build
    contains "$err" "error: $name: a link that leaves the app"
    cause_then_hint "inside the app"
    lacks "$err" root:
    rm "app/$name"
  done
  echo '{"name": 5}' >outside.json
  ln -s ../outside.json app/app.json
  expect_exit 4 build
  contains "$err" "error: app.json: a link that leaves the app"
  rm app/app.json
  # A Procfile after compile: what it points to outside is not read.
  echo 'web: leaked' >outside
  ln -s ../outside app/Procfile
  expect_exit 0 build --metadata-file "$dir/meta.json"
  lacks meta.json leaked
  rm app/Procfile
  # A link inside is as good as the file.
  echo '{"name": "via-link"}' >app/real.json
  ln -s real.json app/app.json
  expect_exit 0 build --metadata-file "$dir/meta.json"
  contains meta.json '"app": "via-link"'
}

test_names_of_255_bytes_and_of_any_bytes() {
  new_app
  local long
  long=$(printf 'n%.0s' {1..255})
  echo x >"app/$long"
  echo x >app/$'\xff\xfe'
  echo x >app/$'two\nlines'
  echo x >'app/ -rf * $(id)'
  expect_exit 0 build --slug "$dir/out.tgz"
  mkdir unpacked
  tar -xzf out.tgz -C unpacked
  diff -r app unpacked/app
  expect_exit 0 slipway slug inspect out.tgz --json
  python3 -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$out"
}

test_paths_beyond_path_max() {
  new_app
  need_program python3
  python3 - <<'END'
import os
os.chdir("app")
for i in range(25):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("leaf", "w").write("deep")
END
  expect_exit 0 build --slug "$dir/out.tgz"
  equal "$(tar -tzf out.tgz | awk '{ if (length > most) most = length } END { print most }')" 5035
  # Again, from the stat cache; then gone.
  expect_exit 0 build
  contains "$err" "Nothing changed since the last build"
  expect_exit 0 slipway cache verify
}

test_read_only_tree() {
  new_app
  mkdir app/sub
  echo x >app/sub/f
  chmod -R a-w app
  new_pack pack <<<'echo new >"$1/sub/made"; echo more >>"$1/sub/f"'
  if [[ $(id -u) -eq 0 ]]; then
    expect_exit 0 as_user slipway build app --stack host --network host --progress plain -b "$dir/pack" --slug "$dir/out.tgz"
  else
    expect_exit 0 build --slug "$dir/out.tgz"
  fi
  tar -tzf out.tgz >listing
  contains listing ./app/sub/made
  equal "$(cat app/sub/f)" x
  chmod -R u+w app
}

test_unreadable_file_is_named() {
  new_app
  echo secret >app/locked
  chmod 000 app/locked
  if [[ $(id -u) -eq 0 ]]; then
    expect_exit '4|6' as_user slipway build app --stack host --network host --progress plain -b "$dir/pack"
  else
    expect_exit '4|6' build
  fi
  contains "$err" "locked"
  contains "$err" "Permission denied"
  contains "$err" "hint: "
}

# The file changes while it is read: noticed, never half of each.
test_file_that_changes_during_the_build() {
  new_app
  new_pack pack <<<'cp "$1/file" "$1/seen"; sleep 0.5'
  head -c 30000000 /dev/zero >app/big
  (
    for ((i = 0; i < 4000; i++)); do echo "line $i" >>app/file && sleep 0.002; done
  ) &
  local writer=$!
  background_pids+=("$writer")
  expect_exit '0|4|6' build --slug "$dir/out.tgz"
  kill "$writer" 2>/dev/null || true
  wait "$writer" || true
  if [[ -e out.tgz ]]; then
    # One moment of it: what the pack saw is what the slug holds.
    tar -xzf out.tgz
    cmp app/file app/seen
  else
    contains "$err" "changed"
    contains "$err" "hint: "
  fi
  # What is on disk now is what the next build takes.
  echo final >app/file
  expect_exit 0 build --slug "$dir/out.tgz"
  equal "$(tar -xOzf out.tgz ./app/file)" final
}

# --- archives as source ---

# write_tar FILE ENTRY…: entries are NAME, NAME>LINK, NAME=HARDLINK, NAME| (a FIFO), NAME% (a device)
write_tar() {
  need_program python3
  python3 - "$@" <<'END'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w") as tar:
    for word in sys.argv[2:]:
        entry, data = tarfile.TarInfo(word), b""
        for mark, kind in ((">", tarfile.SYMTYPE), ("=", tarfile.LNKTYPE)):
            if mark in word:
                entry.name, entry.linkname = word.split(mark)
                entry.type = kind
        if word.endswith("|"):
            entry.name, entry.type = word[:-1], tarfile.FIFOTYPE
        elif word.endswith("%"):
            entry.name, entry.type = word[:-1], tarfile.CHRTYPE
            entry.devmajor, entry.devminor = 1, 3
        elif entry.type == tarfile.REGTYPE:
            data = b"x"
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
END
}

test_archives_that_want_out() {
  new_app
  local victim=$dir/victim
  mkdir victim
  write_tar up.tar file ../evil
  write_tar hard.tar file "h=../../../../../../etc/passwd"
  local name
  for name in up hard; do
    expect_exit 5 slipway build "$name.tar" --stack host -b "$dir/pack"
    contains "$err" "error: unpacking $name.tar: entry "
    contains "$err" "which could leave the target"
  done
  # Unpacked without following what was unpacked before.
  write_tar through.tar "d>$victim" d/evil
  expect_exit '0|5' slipway build through.tar --stack host -b "$dir/pack"
  write_tar abs.tar file "$victim/evil"
  expect_exit '0|5' slipway build abs.tar --stack host -b "$dir/pack"
  equal "$(ls -A victim)" ""
  # Devices and FIFOs never come into being.
  write_tar special.tar file "pipe|" "null%"
  expect_exit 0 slipway build special.tar --stack host -b "$dir/pack" --slug "$dir/out.tgz"
  if tar -tvzf out.tgz | grep -q '^[pcb]'; then fail "a device or FIFO is in the slug"; fi
}

test_archives_cut_short() {
  new_app
  tar -czf whole.tgz -C app .
  head -c 40 whole.tgz >cut.tgz
  expect_exit 5 slipway build cut.tgz --stack host -b "$dir/pack"
  contains "$err" "error: unpacking cut.tgz: "
  contains "$err" "cut short"
  printf 'no archive at all' >text.tgz
  expect_exit '2|5' slipway build text.tgz --stack host -b "$dir/pack"
  contains "$err" "text.tgz"
  expect_exit 2 slipway build nosuch --stack host -b "$dir/pack"
  contains "$err" "there is no folder or archive 'nosuch'"
  cause_then_hint "the source is a folder"
  expect_exit 0 slipway build whole.tgz --stack host -b "$dir/pack"
}

run_tests "$@"
