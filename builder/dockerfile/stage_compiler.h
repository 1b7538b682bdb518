// One stage from its base to its last instruction. Each kind of instruction is a function; they lie
// in run.cpp, copy.cpp and metadata.cpp by what they are about.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "dockerfile/history.h"
#include "dockerfile/mount_spec.h"
#include "dockerfile/owner.h"
#include "dockerfile/remote.h"
#include "dockerfile/stages.h"

namespace slipway::dockerfile {

/// What a stage is after the instructions so far; a stage that stands on it goes on from here.
struct StageState {
  graph::NodeRef root;  ///< null = empty
  std::vector<graph::NodeRef> layers;
  std::optional<BaseRequest> base;
  oci::Platform platform;
  oci::ImageConfig config;
  Scope scope;                    ///< base's variables, ENV and ARG (V18, V19)
  std::vector<DeclaredArg> args;  ///< also those of stages below
  bool workdir_given = false;     ///< in this file, by it or by stages below
  size_t history_bytes = 0;
};

/// A body of "<<-" without the tabs that begin its lines (H6).
std::string without_tabs(std::string_view body);

/// What the stages compiled so far have left.
struct Build {
  Build(Job& shared, Stages& planned) : job(shared), stages(planned), roots(planned.all().size()) {}
  Job& job;
  Stages& stages;
  Compiled result;
  std::vector<graph::NodeRef> roots;  ///< of finished stages, by index; null = empty
  std::map<BaseRequest, graph::NodeRef> images;
  size_t environments_bytes = 0;  ///< of all steps

  /// Null for an image without layers. It is a step of who asks first, with that title.
  graph::NodeRef image_node(const BaseRequest& request, const Base& base,
                            const oci::Platform& platform, graph::Description description,
                            const Lines& lines);
};

class StageCompiler {
 public:
  /// `state` holds the base; it is taken over and handed back by finish().
  StageCompiler(Build& build, const StagePlan& plan, StageState state);
  StageState finish() &&;

 private:
  void start_from_base();
  void start_from_image(const StageItem& from, const BaseRequest& request, const Base& base,
                        const oci::Platform& wanted);
  /// A title as progress shows it, "[build 2/4] RUN make" (S7); counts the step.
  std::string title(const StageItem& item, const std::string& text, const Scope& scope);
  graph::Description describe(const StageItem& item, std::string title) const;
  void add_step(const StageItem& item, graph::NodeRef node);
  void add_layer(const StageItem& item, graph::NodeRef node);
  void commit(const StageItem& item, const std::string& text, bool layer);
  void dispatch(const StageItem& item);

  Text expand_word(const StageItem& item, const Word& word);
  Text expand_optional(const StageItem& item, const std::optional<Word>& word);
  void note_unset(const StageItem& item, const std::set<std::string>& unset);
  std::string working_dir() const;
  std::vector<std::string> with_shell(const std::string& text) const;
  /// Of what an action makes: "user[:group]", empty = root. Names need a root to be looked up in.
  void set_owner(const StageItem& item, const Word& word, const std::string& owner,
                 graph::FileAction& action) const;
  /// The tree of an origin that is not the context; an empty one is a node too.
  graph::NodeRef source_tree(const StageItem& item, const Origin& origin);
  graph::NodeRef context_tree(const StageItem& item, const std::string& path);
  std::optional<int64_t> epoch_ns() const;

  // metadata.cpp
  void arg(const StageItem& item, const Arg& arg);
  void env(const StageItem& item, const Env& env);
  void label(const StageItem& item, const Label& label);
  void workdir(const StageItem& item, const Workdir& workdir);
  void user(const StageItem& item, const User& user);
  void expose(const StageItem& item, const Expose& expose);
  void volume(const StageItem& item, const Volume& volume);
  void stop_signal(const StageItem& item, const StopSignal& signal);
  void shell(const StageItem& item, const Shell& shell);
  void cmd(const StageItem& item, const Cmd& cmd);
  void entrypoint(const StageItem& item, const Entrypoint& entrypoint);
  void healthcheck(const StageItem& item, const HealthCheck& check);
  void maintainer(const StageItem& item, const Maintainer& maintainer);
  std::vector<std::string> command_words(const StageItem& item, const Command& written,
                                         const char* keyword);
  void note_repeated(const StageItem& item, const char* keyword);

  // run.cpp
  void run(const StageItem& item, const Run& run);
  std::vector<std::string> run_argv(const StageItem& item, const Run& run, graph::ExecOp& op,
                                    std::vector<graph::NodeRef>& inputs);
  void run_options(const StageItem& item, const Run& run, graph::ExecOp& op);
  void add_mounts(const StageItem& item, const Run& run, graph::ExecOp& op,
                  std::vector<graph::NodeRef>& inputs);
  graph::Mount tree_mount(const StageItem& item, const Word& word, const MountSpec& spec,
                          const Origin& origin, std::vector<graph::NodeRef>& inputs);
  graph::Mount secret_mount(const MountSpec& spec);
  graph::Mount ssh_mount(const MountSpec& spec, size_t number);

  // copy.cpp
  struct Copying;
  void copy(const StageItem& item, const Copy& copy);
  bool may_link(const StageItem& item, const std::string& chown);
  void set_mode(const StageItem& item, const Word& word, const std::string& chmod,
                graph::FileAction& action) const;
  void copy_source(Copying& copying, const Word& word, const std::string& text);
  void copy_git(Copying& copying, const Word& word, GitSource git, const std::string& text);
  void copy_http(Copying& copying, const std::string& url, const std::string& text);
  void copy_files(Copying& copying, const Word& word, const Text& source);
  void copy_heredoc(Copying& copying, const Heredoc& heredoc);
  void note_ignored(const StageItem& item, const Word& word, const std::string& path);
  /// A heredoc that becomes a file has a name that one may have.
  void check_file_name(const StageItem& item, const Heredoc& heredoc) const;

  Build& build_;
  Job& job_;
  const StagePlan& plan_;
  StageState state_;
  size_t step_ = 0, steps_total_ = 0;
  std::map<std::string, Lines> given_;  ///< CMD, ENTRYPOINT, HEALTHCHECK of this stage: where
};

}  // namespace slipway::dockerfile
