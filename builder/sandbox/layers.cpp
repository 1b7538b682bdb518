#include "sandbox/layers.h"

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_stack.h"

namespace slipway::sandbox {

Fd open_in_layers(const std::vector<int>& layers, const std::string& path) {
  std::vector<std::string> parts = layer_components(path);
  if (parts.empty()) fail(ExitCode::machine, "a snapshot itself cannot be opened as a file");
  const std::string name = std::move(parts.back());
  parts.pop_back();
  StackDir dir = open_stack(layers);
  for (const std::string& part : parts) {
    StackName found = look_up(dir, part);
    if (found.kind != StackName::Kind::folder) return {};
    dir = std::move(found.dir);
  }
  const StackName found = look_up(dir, name);
  if (found.kind == StackName::Kind::absent || found.kind == StackName::Kind::hidden) return {};
  if (!S_ISREG(found.info.st_mode))
    fail(ExitCode::machine, "open {}: not a regular file", printable(path));
  return open_at(dir.levels[found.level].dir.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

}  // namespace slipway::sandbox
