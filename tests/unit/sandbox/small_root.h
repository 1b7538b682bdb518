// A root filesystem of a few of the machine's own programs and their libraries: enough for a shell,
// where the machine's folders cannot be mounted.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/text.h"
#include "sandbox/fixture.h"

namespace slipway::sandbox::testing {

/// Real paths of programs and of all they load.
inline std::set<std::string> files_of_programs(const std::vector<std::string>& programs) {
  std::set<std::string> files;
  for (const std::string& name : programs) {
    const std::string program = find_program(name);
    if (program.empty()) continue;
    files.insert(program);
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)"
    RunOptions ldd;
    ldd.argv = {"ldd", program};
    for (const std::string& line : split(run(ldd).out, '\n'))
      for (const std::string& word : split(std::string(trim(line)), ' '))
        if (starts_with(word, "/")) files.insert(word);
  }
  return files;
}

inline SnapshotId small_root(Sandbox& box, const std::vector<std::string>& more = {}) {
  std::vector<std::string> programs = {"sh",   "cat",   "ls",    "mkdir", "rm",     "mv",   "ln",
                                       "stat", "chmod", "chown", "touch", "id",     "grep", "sleep",
                                       "cp",   "env",   "true",  "pwd",   "mkfifo", "tail", "head"};
  programs.insert(programs.end(), more.begin(), more.end());
  const std::set<std::string> files = files_of_programs(programs);
  std::set<std::string> folders = {"etc", "tmp"};
  for (const std::string& file : files)
    for (size_t slash = file.find('/', 1); slash != std::string::npos;
         slash = file.find('/', slash + 1))
      folders.insert(file.substr(1, slash - 1));
  const SnapshotId id = box.layer();
  const auto copy = box.worker->copy_in(id);
  constexpr int64_t time = 1'000'000'000'000'000'000;
  for (const std::string& folder : folders) copy->directory(folder, 0755, {}, time);
  if (!folders.contains("bin")) copy->symlink("bin", "usr/bin", {}, time);
  for (const std::string& file : files)
    copy->file(file.substr(1), 0755, {}, time, fs::file_size(file), open_file(file, O_RDONLY));
  const std::string passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
  const TempDir dir = TempDir::create("slipway-root");
  write_file_atomic(dir.path() / "passwd", passwd);
  copy->file("etc/passwd", 0644, {}, time, passwd.size(),
             open_file((dir.path() / "passwd").string(), O_RDONLY));
  copy->finish();
  return id;
}

}  // namespace slipway::sandbox::testing
