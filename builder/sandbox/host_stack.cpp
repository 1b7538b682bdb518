#include "sandbox/host_stack.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/fd.h"
#include "base/files.h"
#include "sandbox/mounts.h"

namespace slipway::sandbox {
namespace {

// What stands in /etc and is needed to run programs. A list of what may pass, because what must
// not (shadow, ssh host keys, *.conf with passwords) has no end.
constexpr const char* etc_patterns[] = {
    "alternatives",
    "bindresvport.blacklist",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "ethertypes",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "locale.gen",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "maven",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "os-release",
    "perl",
    "php",
    "pki",
    "protocols",
    "python*",
    "redhat-release",
    "rpc",
    "services",
    "shells",
    "ssl",
    "terminfo",
    "timezone",
    "vconsole.conf",
};
constexpr int etc_depth_max = 16;
constexpr uint64_t etc_file_max = 16 << 20;

constexpr const char* passwd_text =
    "root:x:0:0:root:/root:/bin/bash\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "bin:x:2:2:bin:/bin:/usr/sbin/nologin\n"
    "app:x:1000:1000:app:/app:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
constexpr const char* group_text =
    "root:x:0:\ndaemon:x:1:\nbin:x:2:\ntty:x:5:\nstaff:x:50:\ndyno:x:1000:\nnogroup:x:65534:\n";

/// Copies one entry; what may not be read, and what is neither file, link nor directory, stays out.
void copy_entry(int from, const std::string& name, int to, int depth) {
  const auto info = stat_at(from, name);
  if (!info || depth > etc_depth_max || name == "private") return;
  if (S_ISLNK(info->st_mode)) {
    char text[4096];
    const ssize_t size = readlinkat(from, name.c_str(), text, sizeof text - 1);
    if (size < 0) return;
    text[size] = '\0';
    if (symlinkat(text, to, name.c_str()) != 0) fail_errno("copy link {}", name);
  } else if (S_ISDIR(info->st_mode)) {
    const Fd source(openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return;
    if (mkdirat(to, name.c_str(), 0755) != 0) fail_errno("create {}", name);
    const Fd target = open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fchmod(target.get(), 0755) != 0) fail_errno("chmod {}", name);
    for (const std::string& entry : list_directory(source.get()))
      copy_entry(source.get(), entry, target.get(), depth + 1);
  } else if (S_ISREG(info->st_mode) && static_cast<uint64_t>(info->st_size) <= etc_file_max) {
    const Fd source(openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return;
    const Fd target = open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    (void)copy_bytes(source.get(), target.get(), static_cast<uint64_t>(info->st_size));
    if (fchmod(target.get(), info->st_mode & 0755) != 0) fail_errno("chmod {}", name);
  }
}

void write_new(int dir, const char* name, std::string_view text) {
  const Fd file = open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  write_all(file.get(), text);
  if (fchmod(file.get(), 0644) != 0) fail_errno("chmod {}", name);
}

void make_directory(int dir, const char* name, mode_t mode) {
  if (mkdirat(dir, name, 0700) != 0 && errno != EEXIST) fail_errno("create {}", name);
  const Fd made = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fchmod(made.get(), mode) != 0) fail_errno("chmod {}", name);
}

void bind_readonly(int from, int root, const char* name) {
  const Fd source = open_at(from, name, O_PATH | O_DIRECTORY);
  make_directory(root, name, 0755);
  const Fd tree = clone_tree(source.get(), true, {.readonly = true, .nodev = true});
  const Fd target = open_at(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  attach(tree.get(), target.get());
}

}  // namespace

void make_host_etc(const std::string& host_etc, const std::string& etc) {
  make_directories(etc);
  const Fd from = open_file(host_etc, O_RDONLY | O_DIRECTORY);
  const Fd to = open_file(etc, O_RDONLY | O_DIRECTORY);
  if (fchmod(to.get(), 0755) != 0) fail_errno("chmod {}", etc);
  for (const std::string& name : list_directory(from.get())) {
    bool wanted = false;
    for (const char* pattern : etc_patterns)
      wanted = wanted || fnmatch(pattern, name.c_str(), FNM_PERIOD) == 0;
    if (wanted) copy_entry(from.get(), name, to.get(), 0);
  }
  write_new(to.get(), "passwd", passwd_text);
  write_new(to.get(), "group", group_text);
  write_new(to.get(), "hosts", "127.0.0.1\tlocalhost\n");
  write_new(to.get(), "resolv.conf", "");
}

void mount_host_root(const std::string& host, const std::string& etc, const std::string& root) {
  const Fd from = open_file(host, O_PATH | O_DIRECTORY);
  const Fd to = open_file(root, O_RDONLY | O_DIRECTORY);
  for (const char* name : {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt"}) {
    const auto info = stat_at(from.get(), name);
    if (!info) continue;
    if (S_ISDIR(info->st_mode)) {
      bind_readonly(from.get(), to.get(), name);
    } else if (S_ISLNK(info->st_mode)) {
      // usr-merge: "bin -> usr/bin" must stay a link, programs compare the two.
      char text[4096] = {};
      if (readlinkat(from.get(), name, text, sizeof text - 1) < 0) fail_errno("read link {}", name);
      if (symlinkat(text, to.get(), name) != 0) fail_errno("create link {}", name);
    }
  }
  for (const char* name : {"app", "dev", "etc", "proc", "root", "run", "sys", "var"})
    make_directory(to.get(), name, 0755);
  make_directory(to.get(), "tmp", 01777);
  const Fd var = open_at(to.get(), "var", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  make_directory(var.get(), "tmp", 01777);
  for (const char* name : {"cache", "lib", "log"}) make_directory(var.get(), name, 0755);
  const Fd app = open_at(to.get(), "app", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  // With a single id nothing can be given away, and steps run as id 0 there.
  if (fchown(app.get(), 1000, 1000) != 0 && errno != EINVAL && errno != EPERM)
    fail_errno("chown /app");
  const Fd source = open_file(etc, O_PATH | O_DIRECTORY);
  const Fd tree = clone_tree(source.get(), false, {.readonly = true, .nodev = true});
  const Fd target = open_at(to.get(), "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW);
  attach(tree.get(), target.get());
}

}  // namespace slipway::sandbox
