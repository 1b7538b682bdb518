#include "sandbox/layer_attributes.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

constexpr size_t value_max = 64 << 10;  // the kernel's limit

void for_each_attribute(
    int file, const std::string& path,
    const std::function<void(const std::string& name, const std::string& value)>& use) {
  // Nearly all files have none: one call without a buffer says so.
  ssize_t size = flistxattr(file, nullptr, 0);
  if (size == 0 || (size < 0 && errno == ENOTSUP)) return;
  std::string names;
  do {
    names.resize(std::max<size_t>(names.size() * 4, 1024));
    size = flistxattr(file, names.data(), names.size());
  } while (size < 0 && errno == ERANGE);
  if (size < 0) fail_errno("list the attributes of {}", printable(path));
  names.resize(static_cast<size_t>(size));
  std::vector<std::string> wanted;
  for (size_t at = 0; at < names.size();) {
    std::string name(names.c_str() + at);
    at += name.size() + 1;
    const bool overlay = starts_with(name, "user.overlay.");
    if (!overlay && (starts_with(name, "user.") || name == "security.capability"))
      wanted.push_back(std::move(name));
  }
  std::sort(wanted.begin(), wanted.end());
  for (const std::string& name : wanted) {
    std::string value(value_max, '\0');
    const ssize_t length = fgetxattr(file, name.c_str(), value.data(), value.size());
    if (length < 0) fail_errno("read the attribute {} of {}", printable(name), printable(path));
    value.resize(static_cast<size_t>(length));
    use(name, value);
  }
}

}  // namespace

void copy_attributes_of(int from, int to, const std::string& path) {
  for_each_attribute(from, path, [&](const std::string& name, const std::string& value) {
    if (fsetxattr(to, name.c_str(), value.data(), value.size(), 0) == 0) return;
    if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
      fail_errno("copy the attribute {} of {}", printable(name), printable(path));
  });
}

std::string attributes_text(int file, const std::string& path) {
  std::string text;
  for_each_attribute(file, path, [&](const std::string& name, const std::string& value) {
    text += fmt::format("{}:{}={}:{} ", name.size(), name, value.size(), value);
  });
  return text;
}

std::string read_link_at(int dir, const std::string& name, const std::string& path) {
  std::string text(256, '\0');
  for (;;) {
    const ssize_t size = readlinkat(dir, name.c_str(), text.data(), text.size());
    if (size < 0) fail_errno("read the link {}", printable(path));
    if (static_cast<size_t>(size) < text.size()) {
      text.resize(static_cast<size_t>(size));
      return text;
    }
    text.resize(text.size() * 2);
  }
}

}  // namespace slipway::sandbox
