#include "sandbox/root_copies.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layers.h"
#include "sandbox/plain_places.h"
#include "sandbox/requests.h"
#include "sandbox/tree_copy.h"

namespace slipway::sandbox {
namespace {

constexpr const char* prefix = ".roots-";
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

// Names of the layer that hide something, folders that replace one. Folders of both go on.
void remove_hidden(int layer, int root, size_t depth) {
  if (depth > depth_max) fail(ExitCode::machine, "more than {} nested folders", depth_max);
  for (const std::string& name : list_directory(layer)) {
    const auto info = stat_at(layer, name);
    if (!info) continue;
    const auto there = stat_at(root, name);
    if (!there) continue;
    if (!S_ISDIR(info->st_mode)) {
      if (is_whiteout(layer, name, *info)) remove_tree_at(root, name);
      continue;
    }
    if (!S_ISDIR(there->st_mode)) continue;
    const Fd own = open_at(layer, name, folder_flags), below = open_at(root, name, folder_flags);
    if (is_opaque(own.get()))
      for (const std::string& inside : list_directory(below.get()))
        remove_tree_at(below.get(), inside);
    else
      remove_hidden(own.get(), below.get(), depth + 1);
  }
}

}  // namespace

void apply_layer(int layer, int root, bool single_id) {
  remove_hidden(layer, root, 0);
  StackView source({layer}, "");
  LayerTarget target(root, {}, single_id);
  CopyRules rules;
  rules.replace_existing = true;
  rules.may_link = false;
  CopyState state;
  TreeCopy(source, target, rules, state, 0, false)
      .contents("", target.folder(""), source::PathPatterns());
}

RootCopies::RootCopies(cache::Store& store) : store_(store) {}

RootCopies::~RootCopies() {
  if (!folder_) return;
  folder_.reset();
  try {
    remove_tree(store_.snapshots_dir() / name_);
  } catch (const std::exception&) {
    // Swept by a later process.
  }
}

RootCopies::Root::~Root() {
  if (!fd) return;
  fd.reset();
  try {
    remove_tree_at(owner_.folder_.get(), name_);
  } catch (const std::exception&) {
    // Goes with the folder.
  }
}

// With the lock held.
int RootCopies::folder() {
  if (folder_) return folder_.get();
  const Fd snapshots = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
  for (const std::string& entry : list_directory(snapshots.get())) {
    if (!starts_with(entry, prefix)) continue;
    const Fd left = open_at_if_exists(snapshots.get(), entry, folder_flags);
    if (left && flock(left.get(), LOCK_EX | LOCK_NB) == 0) remove_tree_at(snapshots.get(), entry);
  }
  name_ = prefix + to_hex(random_bytes(8));
  if (mkdirat(snapshots.get(), name_.c_str(), 0700) != 0) fail_errno("create {}", name_);
  folder_ = open_at(snapshots.get(), name_, folder_flags);
  if (flock(folder_.get(), LOCK_EX) != 0) fail_errno("lock {}", name_);
  return folder_.get();
}

RootCopies::Root RootCopies::fresh() {
  const std::lock_guard lock(mutex_);
  const int parent = folder();
  const std::string name = std::to_string(++number_);
  if (mkdirat(parent, name.c_str(), 0755) != 0) fail_errno("create a root");
  Fd made = open_at(parent, name, folder_flags);
  if (fchmod(made.get(), 0755) != 0) fail_errno("create a root");
  return {*this, std::move(made), name, (store_.snapshots_dir() / name_ / name).string()};
}

RootCopies::Root RootCopies::empty() {
  return fresh();
}

RootCopies::Root RootCopies::copy(const std::vector<cache::SnapshotId>& layers) {
  const Fd snapshots = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
  const std::vector<cache::SnapshotId> wanted = cut_at_full_layer(snapshots.get(), layers);
  std::string name;
  size_t missing = wanted.size();
  {
    // The copy that most of the stack is in already.
    const std::lock_guard lock(mutex_);
    auto best = kept_.end();
    for (auto one = kept_.begin(); one != kept_.end(); ++one) {
      const size_t have = one->layers.size();
      if (have > wanted.size() || wanted.size() - have >= missing ||
          !std::equal(one->layers.rbegin(), one->layers.rend(), wanted.rbegin()))
        continue;
      best = one;
      missing = wanted.size() - have;
    }
    if (best != kept_.end()) {
      name = best->name;
      kept_.erase(best);
    }
  }
  if (name.empty()) {
    Root root = fresh();
    const std::vector<Fd> stack = open_stack(snapshots.get(), {0, wanted});
    copy_layers(numbers(stack), root.fd.get());
    return root;
  }
  Root root(*this, open_at(folder_.get(), name, folder_flags), name,
            (store_.snapshots_dir() / name_ / name).string());
  const bool single_id = geteuid() != 0;
  for (size_t i = missing; i-- > 0;) {
    const Fd layer = open_layer(snapshots.get(), wanted[i]);
    apply_layer(layer.get(), root.fd.get(), single_id);
  }
  return root;
}

void RootCopies::keep(Root root, std::vector<cache::SnapshotId> layers) {
  const std::lock_guard lock(mutex_);
  kept_.push_back({std::move(layers), root.name_});
  root.fd.reset();
}

}  // namespace slipway::sandbox
