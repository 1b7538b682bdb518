#include "sandbox/layers.h"

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_stack.h"

namespace slipway::sandbox {

struct LayerFiles::Folder {
  std::string name;
  StackDir dir;
};

LayerFiles::LayerFiles(const std::vector<int>& layers) {
  chain_.push_back({{}, open_stack(layers)});
}
LayerFiles::~LayerFiles() = default;

Fd LayerFiles::open(const std::string& path) {
  std::vector<std::string> parts = layer_components(path);
  if (parts.empty()) fail(ExitCode::machine, "a snapshot itself cannot be opened as a file");
  const std::string name = std::move(parts.back());
  parts.pop_back();
  size_t shared = 0;
  while (shared < parts.size() && shared + 1 < chain_.size() &&
         chain_[shared + 1].name == parts[shared])
    ++shared;
  chain_.erase(chain_.begin() + static_cast<ptrdiff_t>(shared) + 1, chain_.end());
  for (size_t i = shared; i < parts.size(); ++i) {
    StackName found = look_up(chain_.back().dir, parts[i]);
    if (found.kind != StackName::Kind::folder) return {};
    chain_.push_back({parts[i], std::move(found.dir)});
  }
  const StackDir& folder = chain_.back().dir;
  const StackName found = look_up(folder, name);
  if (found.kind == StackName::Kind::absent || found.kind == StackName::Kind::hidden) return {};
  if (!S_ISREG(found.info.st_mode))
    fail(ExitCode::machine, "open {}: not a regular file", printable(path));
  return open_at(folder.levels[found.level].dir.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

}  // namespace slipway::sandbox
