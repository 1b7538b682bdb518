// Stacks: the root filesystems builds run in (`build`) and slugs start in (`run`). A stack is made
// once with mmdebstrap from its definition (stacks/<name>/), or imported from an OCI layout, and
// kept in the store as layers that all apps share; `host` is the machine's own root, read-only. The
// platform's own stacks are its public images, fetched when they are first built on.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"

namespace slipway::stack {

/// stacks/<name>/stack.json and the files beside it.
struct Definition {
  std::string name;
  std::string suite;
  std::string presents;                  ///< default STACK value
  std::vector<std::string> can_present;  ///< other values it is new enough for
  std::vector<std::string> run_packages, build_packages;
  std::string setup_script, dpkg_options;
  Digest digest;  ///< over all of it: a changed definition makes the stack anew
};

struct Info {
  std::string name;
  std::string origin;  ///< "definition", "oci layout", "public image", "this machine"
  std::string presents;
  bool made = false;
  uint64_t run_bytes = 0, build_bytes = 0;
  std::string identity;  ///< of the build variant; empty when not made
  std::string created;   ///< ISO time
};

class Stacks {
 public:
  Stacks(cache::Store& store, report::Stream& stream, Cancel& cancel);

  /// How a public image is found and brought here; without it such stacks cannot be built on.
  using FindImage =
      std::function<engine::ResolvedImage(engine::Engine&, const std::string& reference)>;
  void set_find_image(FindImage find) { find_image_ = std::move(find); }

  /// Names that can be built on, for messages and `stack ls`.
  std::vector<Info> list() const;
  /// Throws Error(usage) with a suggestion when there is no such stack.
  void check_name(const std::string& name) const;
  /// STACK value a build on this stack sees. Throws Error(usage) when `present` is a value the
  /// stack cannot stand in for.
  std::string presented(const std::string& name, const std::string& present) const;

  /// "stack:<name>/<build|run>" → layers, made on first use (one maker at a time per store).
  engine::ResolvedImage resolve(engine::Engine& engine, const graph::ImageOp& image);
  /// Makes both variants anew; of public images, takes what their names stand for now.
  void update(engine::Engine& engine, const std::string& name);
  /// Imports an image of an OCI layout folder (the first manifest for this machine's architecture)
  /// as stack `name`; `run_layout` empty = the same image for both variants. Blobs are verified.
  void import_layout(engine::Engine& engine, const std::string& name,
                     const std::string& build_layout, const std::string& run_layout,
                     const std::string& presents);
  /// The layers go with the next gc.
  void remove(const std::string& name);

 private:
  Json fetch(engine::Engine& engine, const std::string& name, const std::string& variant);
  Json make(engine::Engine& engine, const Definition& definition, const std::string& variant);
  Json make_run(engine::Engine& engine, const Definition& definition);
  Json make_build(engine::Engine& engine, const Definition& definition, const Json& run);

  cache::Store& store_;
  report::Stream& stream_;
  Cancel& cancel_;
  FindImage find_image_;
};

/// Reads stacks/<name>; empty when there is no such folder. Throws Error(machine) when it is
/// broken.
std::optional<Definition> read_definition(const std::string& name);
std::vector<std::string> defined_names();

/// Layers of an image in an OCI layout, unpacked; returns the topmost snapshot.
cache::SnapshotId unpack_layout(engine::Engine& engine, const std::string& folder,
                                std::string& identity);

}  // namespace slipway::stack
