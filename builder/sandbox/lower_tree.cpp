#include "sandbox/lower_tree.h"

#include "base/error.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

std::string read_link(int dir, const std::string& name, const std::string& path) {
  char text[4097];
  const ssize_t size = readlinkat(dir, name.c_str(), text, sizeof text);
  if (size < 0) fail_errno("read the link {}", printable(path));
  return {text, static_cast<size_t>(size)};
}

}  // namespace

archive::LowerTree::Found StackBelow::find(const std::string& path) {
  if (open_) {
    layers_ = open_();
    open_ = nullptr;
    for (const Fd& layer : layers_) stack_.push_back(layer.get());
  }
  StackDir dir = open_stack(stack_);
  std::vector<std::string> parts = layer_components(path);
  SLIPWAY_CHECK(!parts.empty());
  const std::string name = std::move(parts.back());
  parts.pop_back();
  for (const std::string& part : parts) {
    StackName found = look_up(dir, part);
    if (found.kind != StackName::Kind::folder) return {};
    dir = std::move(found.dir);
  }
  StackName found = look_up(dir, name);
  Found answer;
  switch (found.kind) {
    case StackName::Kind::absent:
    case StackName::Kind::hidden:
      return answer;
    case StackName::Kind::folder:
      answer.kind = Found::Kind::directory;
      answer.fd = std::move(found.dir.levels.front().dir);
      return answer;
    case StackName::Kind::other:
      break;
  }
  const int level = dir.levels[found.level].dir.get();
  if (S_ISLNK(found.info.st_mode)) {
    answer.kind = Found::Kind::link;
    answer.link = read_link(level, name, path);
  } else if (S_ISREG(found.info.st_mode)) {
    answer.kind = Found::Kind::file;
    answer.fd = open_at(level, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } else {
    answer.kind = Found::Kind::other;
  }
  return answer;
}

}  // namespace slipway::sandbox
