// COPY and ADD (dockerfile.md §3.3). One instruction is one file operation, whatever it copies
// (C25).
#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"
#include "dockerfile/remote.h"
#include "dockerfile/stage_compiler.h"

namespace slipway::dockerfile {
namespace {

using graph::FileAction;

// The parts of --parents: what is looked for, and from where on its path is kept. Only the first
// "/./" counts (C16).
std::string parents_source(const std::string& source) {
  const size_t pivot = source.find("/./");
  if (pivot == std::string::npos) return clean_path(source);
  const std::string before = clean_path(source.substr(0, pivot));
  return (before == "/" ? "" : before) + "/." + clean_path(source.substr(pivot + 3));
}

void check_checksum(const StageItem& item, const Word& word, const std::string& checksum,
                    bool git) {
  if (git) {
    if (!is_commit_prefix(checksum))
      throw item.site.error(word, fmt::format("--checksum={} is no commit", printable(checksum)),
                            "a git source has hexadecimal commits; the beginning of one is enough");
    return;
  }
  const size_t colon = checksum.find(':');
  const std::string algorithm = checksum.substr(0, colon);
  if (colon == std::string::npos || algorithm != "sha256")
    throw item.site.error(word,
                          fmt::format("--checksum={} is of no known kind", printable(checksum)),
                          "write --checksum=sha256: and 64 hexadecimal digits");
  const std::string digits = checksum.substr(colon + 1);
  if (digits.size() != 64 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw item.site.error(word, fmt::format("--checksum={} is no digest", printable(checksum)),
                          "sha256 has 64 hexadecimal digits in lower case");
}

}  // namespace

// The parts of one COPY or ADD that all its sources share.
struct StageCompiler::Copying {
  const StageItem& item;
  const Copy& copy;
  std::vector<graph::NodeRef> inputs;
  graph::FileOp op;
  FileAction common;  ///< destination, owner, mode, excludes
  std::string checksum;
  std::string told;  ///< for the history

  int input(graph::NodeRef node) {
    const auto found = std::find(inputs.begin(), inputs.end(), node);
    if (found != inputs.end()) return static_cast<int>(found - inputs.begin());
    inputs.push_back(std::move(node));
    return static_cast<int>(inputs.size()) - 1;
  }
};

void StageCompiler::copy(const StageItem& item, const Copy& copy) {
  const char* keyword = copy.add ? "ADD" : "COPY";
  Copying copying{item, copy, {}, {}, {}, {}, keyword};
  const Text chown = expand_optional(item, copy.chown), chmod = expand_optional(item, copy.chmod);
  const Text dest = expand_word(item, copy.dest);
  copying.checksum = expand_optional(item, copy.checksum).value;
  if (copy.parents) copying.told += " --parents";
  if (!chown.value.empty()) copying.told += " --chown=" + chown.shown;
  if (!chmod.value.empty()) copying.told += " --chmod=" + chmod.shown;
  FileAction& common = copying.common;
  common.dest = destination_path(working_dir(), dest.value);
  common.exclude = copy.exclude;
  if (!chmod.value.empty()) set_mode(item, *copy.chmod, chmod.value, common);
  const bool link = copy.link && may_link(item, chown.value);
  common.replace_existing = link;
  if (!chown.value.empty()) set_owner(item, *copy.chown, chown.value, common);

  const bool on_scratch = link || state_.root == nullptr;
  copying.op.on_scratch = on_scratch;
  if (!on_scratch) copying.inputs.push_back(state_.root);
  if (!copying.checksum.empty() && copy.sources.size() + copy.heredocs.size() != 1)
    throw item.site.error(*copy.checksum, "--checksum is for a single source",
                          "write an ADD for each source");
  const std::string text = title(item, item.instruction->text, state_.scope);
  for (const Word& source : copy.sources) copy_source(copying, source, text);
  for (const Heredoc& heredoc : copy.heredocs) copy_heredoc(copying, heredoc);
  copying.told += " " + dest.shown + " # buildkit";

  graph::NodeRef node =
      graph::Node::make(std::move(copying.op), std::move(copying.inputs), describe(item, text));
  // The files are a layer of their own that does not depend on what lies below (C17).
  if (link && state_.root)
    node = graph::Node::make(graph::MergeOp{}, {state_.root, node}, describe(item, text));
  add_layer(item, std::move(node));
  commit(item, copying.told, true);
}

bool StageCompiler::may_link(const StageItem& item, const std::string& chown) {
  if (chown.empty()) return true;
  try {
    if (parse_owner(chown).ids) return true;
  } catch (const Error&) {
    return true;  // set_owner() tells it with its place
  }
  job_.find(item.site, "LinkWithNamedOwner",
            fmt::format("--link is left out: '{}' has to be looked up in the image's /etc/passwd",
                        printable(chown)));
  return false;
}

void StageCompiler::set_mode(const StageItem& item, const Word& word, const std::string& chmod,
                             FileAction& action) const {
  try {
    const ModeSpec mode = parse_mode(chmod);
    action.mode = mode.mode;
    action.mode_text = mode.text;
  } catch (const Error& problem) {
    throw item.site.error(word, problem.cause(), problem.hint());
  }
}

void StageCompiler::copy_source(Copying& copying, const Word& word, const std::string& text) {
  const StageItem& item = copying.item;
  const Text source = expand_word(item, word);
  copying.told += " " + shown_url(source.shown);
  std::optional<GitSource> git;
  try {
    git = parse_git_source(source.value);
  } catch (const Error& problem) {
    throw item.site.error(word, problem.cause(), problem.hint());
  }
  const bool http = !git && is_http_source(source.value);
  if ((git || http) && !copying.copy.add)
    throw item.site.error(word, "COPY takes files of the context, of stages and of images",
                          "ADD takes URLs and git repositories");
  if (!copying.checksum.empty()) {
    if (!git && !http)
      throw item.site.error(*copying.copy.checksum, "--checksum is for URLs and git repositories",
                            "files of the context are compared by their content anyway");
    check_checksum(item, *copying.copy.checksum, copying.checksum, git.has_value());
  }
  if (git)
    copy_git(copying, word, std::move(*git), text);
  else if (http)
    copy_http(copying, source.value, text);
  else
    copy_files(copying, word, source);
}

void StageCompiler::copy_git(Copying& copying, const Word& word, GitSource git,
                             const std::string& text) {
  const StageItem& item = copying.item;
  const std::optional<bool>& flag = copying.copy.keep_git_dir;
  if (flag && git.keep_git_dir && *flag != *git.keep_git_dir)
    throw item.site.error(word, "the URL's keep-git-dir contradicts --keep-git-dir");
  git.op.keep_git_dir = git.keep_git_dir.value_or(flag.value_or(false));
  // Hashes are compared as git prints them.
  const std::string checksum = lower_case(copying.checksum);
  if (!checksum.empty() && !git.op.checksum.empty() && checksum != git.op.checksum)
    throw item.site.error(word, fmt::format("the URL's commit '{}' contradicts --checksum={}",
                                            git.op.checksum, copying.checksum));
  if (!checksum.empty()) git.op.checksum = checksum;
  FileAction action = copying.common;
  action.source_input = copying.input(graph::Node::make(git.op, {}, describe(item, text)));
  action.source = "/";
  action.allow_wildcard = action.allow_empty_wildcard = action.follow_links = false;
  copying.op.actions.push_back(std::move(action));
}

void StageCompiler::copy_http(Copying& copying, const std::string& url, const std::string& text) {
  graph::HttpOp http;
  http.url = url;
  http.checksum = copying.checksum;
  http.filename = http_filename(url);
  http.mode = 0600;
  http.last_modified = true;
  FileAction action = copying.common;
  action.source = "/" + http.filename;
  action.source_input =
      copying.input(graph::Node::make(std::move(http), {}, describe(copying.item, text)));
  action.allow_wildcard = action.allow_empty_wildcard = action.follow_links = false;
  action.unpack = copying.copy.unpack.value_or(false);
  copying.op.actions.push_back(std::move(action));
}

void StageCompiler::copy_files(Copying& copying, const Word& word, const Text& source) {
  const StageItem& item = copying.item;
  const Copy& copy = copying.copy;
  const Origin& origin = item.origins.at(0);
  FileAction action = copying.common;
  action.source = copy.parents ? parents_source(source.value) : clean_path(source.value);
  action.parents = copy.parents;
  action.unpack = copy.unpack.value_or(copy.add);
  if (origin.kind == Origin::Kind::context) {
    const std::string path = clean_path(source.value);
    note_ignored(item, word, path);
    action.source_input = copying.input(context_tree(item, path));
  } else {
    action.source_input = copying.input(source_tree(item, origin));
  }
  copying.op.actions.push_back(std::move(action));
}

void StageCompiler::note_ignored(const StageItem& item, const Word& word, const std::string& path) {
  if (!job_.options.ignored || path == "/") return;
  if (job_.options.ignored(path.substr(1)))
    job_.find(item.site, "CopyIgnoredFile",
              fmt::format("'{}' is hidden by the ignore file", printable(word.text)));
}

void StageCompiler::check_file_name(const StageItem& item, const Heredoc& heredoc) const {
  const std::string& name = heredoc.name;
  if (!name.empty() && name != "." && name != ".." && name.size() <= 255 &&
      name.find('/') == std::string::npos)
    return;
  throw item.site.error(
      fmt::format("the heredoc's name '{}' cannot be the name of a file", printable(name)),
      "it becomes a file of that name: use a plain word such as EOF");
}

void StageCompiler::copy_heredoc(Copying& copying, const Heredoc& heredoc) {
  const StageItem& item = copying.item;
  check_file_name(item, heredoc);
  copying.told += " <<" + heredoc.name;
  FileAction file;
  file.kind = FileAction::Kind::mkfile;
  file.dest = "/" + heredoc.name;
  file.data = heredoc.chomp ? without_tabs(heredoc.content) : heredoc.content;
  file.mode = 0644;
  file.timestamp_ns = epoch_ns();
  if (heredoc.expand) {
    try {
      Expanded body = expand_body(file.data, state_.scope);
      note_unset(item, body.unset);
      file.data = std::move(body.text.value);
    } catch (const Error& problem) {
      throw item.site.placed(problem, Word{{}, heredoc.line, 1});
    }
  }
  // A tree of its own, so that --chown and --chmod apply as to any copied file (H10).
  FileAction action = copying.common;
  action.source_input = copying.input(graph::Node::make(
      graph::FileOp{{file}, true}, {}, {.title = "heredoc " + printable(heredoc.name)}));
  action.source = file.dest;
  action.allow_wildcard = action.allow_empty_wildcard = action.follow_links = false;
  copying.op.actions.push_back(std::move(action));
}

}  // namespace slipway::dockerfile
