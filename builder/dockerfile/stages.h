// The stages of a file before anything is built: what each stands on, which others it needs, which
// the target reaches (dockerfile.md §3.1, §6).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dockerfile/job.h"
#include "dockerfile/outside.h"

namespace slipway::dockerfile {

/// Where files come from: FROM, --from and the `from` of a mount.
struct Origin {
  enum class Kind : uint8_t {
    context,  ///< the main context: nothing was named
    scratch,
    stage,
    outside,  ///< an image or a named context
  } kind = Kind::context;
  size_t stage = 0;
  std::string name;  ///< as written
};

/// An instruction of a stage, or a trigger it inherited.
struct StageItem {
  const Instruction* instruction = nullptr;
  Site site;
  /// Of COPY and ADD one, of RUN one for each mount, of others none.
  std::vector<Origin> origins;
};

struct StagePlan {
  const Stage* stage = nullptr;
  Site site;   ///< of its FROM
  Text image;  ///< expanded
  Origin base;
  std::optional<oci::Platform> platform;  ///< --platform
  /// A named context has the stage's name: it is the stage, the instructions do not count (F1).
  const NamedContext* replacement = nullptr;
  std::vector<StageItem> items;
  bool reachable = false;

  /// "build", "stage-2": for titles and messages.
  std::string label() const;
};

class Stages {
 public:
  /// Expands the FROM lines, finds what names mean, refuses circles. Throws Error(app_files).
  Stages(Job& job, Outside& outside);

  std::vector<StagePlan>& all() { return plans_; }
  /// Throws Error(usage) when there is none of that name.
  size_t find_target(const std::string& name) const;
  /// Marks what `targets` need and puts the triggers of their bases before their instructions.
  /// Bases whose config is needed and not known are noted in Outside as missing; it is called once.
  void reach(const std::vector<size_t>& targets);
  /// What an image or a named context in FROM stands for.
  Resolved resolve_base(const StagePlan& plan) const;
  Resolved resolve_source(const StageItem& item, const Origin& origin) const;

 private:
  void read_from(size_t index);
  void check_platform(StagePlan& plan);
  std::vector<std::string> global_names() const;
  void note_undeclared(const StagePlan& plan, const std::set<std::string>& unset);
  std::string unset_hint(const std::set<std::string>& unset) const;
  void link(StageItem& item);
  Origin copy_origin(const StageItem& item, const Word& from) const;
  Origin named_origin(const std::string& name) const;
  void refuse_circles() const;
  void visit(StagePlan& plan, std::vector<size_t>& waiting);
  void add_triggers(StagePlan& plan);
  std::vector<std::string> triggers_of_base(const StagePlan& plan) const;

  Job& job_;
  Outside& outside_;
  std::vector<StagePlan> plans_;
  std::map<std::string, size_t> names_;  ///< lower case; the last of a name
};

}  // namespace slipway::dockerfile
