#include "netfetch/git_repository.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "base/text.h"

namespace slipway::netfetch {
namespace {

constexpr char remote_transports[] = "https:http:git:ssh";
constexpr int attempts_max = 3;
constexpr auto first_delay = std::chrono::milliseconds(500);
// Shorter ids are more likely a slip of the finger.
constexpr size_t short_commit_min = 4;

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// The order of `git checkout`: a branch before a tag of the same name.
template <typename Refs>
typename Refs::const_iterator find_ref(const Refs& refs, const std::string& ref) {
  const auto named = [&](const std::string& name) {
    return std::find_if(refs.begin(), refs.end(),
                        [&](const auto& entry) { return entry.first == name; });
  };
  if (ref.empty()) return named("HEAD");
  auto found = named("refs/heads/" + ref);
  if (found == refs.end()) found = named("refs/tags/" + ref);
  if (found == refs.end() && starts_with(ref, "refs/")) found = named(ref);
  if (found == refs.end() && ref == "HEAD") found = named(ref);
  return found;
}

bool can_be_short_commit(const std::string& ref) {
  return is_hex(ref) && ref.size() >= short_commit_min;
}

bool says_any(const std::string& text, std::initializer_list<const char*> signs) {
  return std::any_of(signs.begin(), signs.end(),
                     [&](const char* sign) { return text.find(sign) != std::string::npos; });
}

}  // namespace

GitRepository::GitRepository(GitAddress address, std::string folder, const OnProgress& on_progress)
    : address_(std::move(address)), folder_(std::move(folder)), git_(address_.credentials) {
  const std::string what = "fetching " + address_.shown;
  git_.set_on_received([what, on_progress](uint64_t bytes) {
    if (on_progress) on_progress(what, bytes, 0);
  });
}

void GitRepository::open_local() {
  std::error_code problem;
  const fs::path path = fs::canonical(address_.url, problem);
  if (problem) fail(ExitCode::outside, "{}: {}", address_.shown, problem.message());
  git_.set_ceiling(path.parent_path().string());
  const GitOutput output = git_.run({"-C", path.string(), "rev-parse", "--absolute-git-dir"});
  git_.set_ceiling({});
  if (!output.status.ok())
    throw Error(ExitCode::outside, fmt::format("{}: {}", address_.shown, git_words(output.err)))
        .set_hint("name a repository: a bare one, or a folder with .git in it");
  const std::string git_dir = first_line(output.out);
  git_.set_repository(git_dir);
  // In a receive hook the pushed objects lie apart until the push is accepted.
  const char* quarantine = std::getenv("GIT_QUARANTINE_PATH");
  if (quarantine == nullptr) return;
  const fs::path objects = fs::canonical(quarantine, problem);
  if (!problem && starts_with(objects.string(), git_dir + "/"))
    git_.set_object_folders(objects.string(), git_dir + "/objects");
}

GitRepository::Refs GitRepository::list_local() const {
  const std::string out =
      git_.run_ok({"for-each-ref", "--format=%(objectname) %(refname)"}, address_.shown);
  Refs refs;
  for (const std::string& line : split(out, '\n'))
    if (const size_t space = line.find(' '); space != std::string::npos)
      refs.emplace_back(line.substr(space + 1), line.substr(0, space));
  return refs;
}

GitOutput GitRepository::ask_remote(const std::vector<std::string>& arguments) const {
  auto delay = first_delay;
  for (int attempt = 1;; ++attempt) {
    GitOutput output = git_.run(arguments);
    if (output.status.ok() || attempt == attempts_max || !is_transient(output.err)) return output;
    std::this_thread::sleep_for(delay);
    delay *= 2;
  }
}

void GitRepository::fail_remote(const GitOutput& output) const {
  const std::string words = git_words(output.err);
  Error error(ExitCode::outside, fmt::format("fetch {}: {}", address_.shown,
                                             words.empty() ? output.status.to_string() : words));
  if (const std::string hint = git_hint(output.err); !hint.empty()) error.set_hint(hint);
  throw error;
}

GitRepository::Refs GitRepository::list_remote() {
  git_.set_transports(address_.kind == GitAddress::Kind::local ? "file" : remote_transports);
  // Asking for a passphrase or about a host key would wait for a terminal nobody watches.
  if (address_.kind == GitAddress::Kind::ssh && std::getenv("GIT_SSH") == nullptr &&
      std::getenv("GIT_SSH_COMMAND") == nullptr &&
      !git_.run({"config", "--get", "core.sshCommand"}).status.ok())
    git_.set_ssh_command("ssh -o BatchMode=yes -o ConnectTimeout=30");
  const GitOutput output = ask_remote({"ls-remote", "--", address_.url});
  if (!output.status.ok()) fail_remote(output);
  Refs refs;
  for (const std::string& line : split(output.out, '\n')) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos || !is_full_commit(line.substr(0, tab))) continue;
    std::string name = line.substr(tab + 1);
    std::string id = line.substr(0, tab);
    // "refs/tags/v1^{}" follows its annotated tag and says which commit that is.
    if (ends_with(name, "^{}")) {
      name.resize(name.size() - 3);
      if (!refs.empty() && refs.back().first == name) {
        refs.back().second = std::move(id);
        continue;
      }
    }
    refs.emplace_back(std::move(name), std::move(id));
  }
  if (refs.empty()) fail(ExitCode::outside, "{}: the repository is empty", address_.shown);
  return refs;
}

void GitRepository::create_own(size_t id_size) {
  git_.run_ok({"init", "--quiet", "--bare", "--template=",
               id_size == 64 ? "--object-format=sha256" : "--object-format=sha1", "--", folder_},
              "make a repository");
  git_.set_repository(folder_);
}

bool GitRepository::fetch_one(const std::string& source) {
  std::string target = "refs/slipway/fetched";
  if (starts_with(source, "refs/heads/")) target = "refs/remotes/origin/" + source.substr(11);
  if (starts_with(source, "refs/tags/")) target = source;
  std::vector<std::string> arguments = {
      "fetch",     "--progress", "--no-tags",  "--no-write-fetch-head",
      "--depth=1", "--",         address_.url, "+" + source + ":" + target};
  GitOutput output = ask_remote(arguments);
  if (!output.status.ok() && says_any(output.err, {"shallow"})) {
    arguments.erase(arguments.begin() + 4);
    output = ask_remote(arguments);
  }
  if (output.status.ok()) return true;
  if (says_any(output.err, {"not our ref", "unadvertised object", "couldn't find remote ref",
                            "no such remote ref", "remote did not send all necessary objects"}))
    return false;
  fail_remote(output);
}

void GitRepository::fetch_history(bool commits_only) {
  std::vector<std::string> arguments = {"fetch", "--progress", "--no-tags",
                                        "--no-write-fetch-head"};
  if (commits_only) arguments.push_back("--filter=tree:0");
  if (fs::exists(folder_ + "/shallow")) arguments.push_back("--unshallow");
  arguments.insert(arguments.end(), {"--", address_.url, "+refs/heads/*:refs/remotes/origin/*",
                                     "+refs/tags/*:refs/tags/*"});
  const GitOutput output = ask_remote(arguments);
  if (!output.status.ok()) fail_remote(output);
}

std::string GitRepository::find_commit(const std::string& revision) const {
  const GitOutput output = git_.run({"rev-parse", "--verify", "--quiet", revision + "^{commit}"});
  const std::string id = first_line(output.out);
  return output.status.ok() && is_full_commit(id) ? id : "";
}

void GitRepository::unknown_ref(const std::string& ref, const Refs& refs) const {
  if (ref.empty())
    throw Error(ExitCode::outside,
                fmt::format("{}: the repository has no default branch", address_.shown))
        .set_hint("name a branch, tag or commit after '#'");
  std::vector<std::string> names;
  for (const auto& [name, id] : refs)
    for (const char* start : {"refs/heads/", "refs/tags/"})
      if (starts_with(name, start)) names.push_back(name.substr(std::string_view(start).size()));
  Error error(ExitCode::outside,
              fmt::format("{} has no branch, tag or commit '{}'", address_.shown, printable(ref)));
  if (const auto near = closest(ref, names)) {
    error.set_hint(fmt::format("did you mean '{}'?", printable(*near)));
  } else if (!names.empty()) {
    const size_t shown = std::min<size_t>(names.size(), 8);
    std::vector<std::string> some(names.begin(),
                                  names.begin() + static_cast<std::ptrdiff_t>(shown));
    error.set_hint(
        fmt::format("it has {}{}", printable(join(some, ", ")), shown < names.size() ? ", …" : ""));
  }
  throw error;
}

std::string GitRepository::resolve(const std::string& ref) {
  check_ref(ref);
  if (address_.kind == GitAddress::Kind::local) {
    open_local();
    const Refs refs = list_local();
    std::string revision = ref.empty() ? "HEAD" : ref;
    if (!is_full_commit(ref)) {
      if (const auto named = find_ref(refs, ref); named != refs.end())
        revision = named->first;
      else if (!ref.empty() && ref != "HEAD" && !can_be_short_commit(ref))
        unknown_ref(ref, refs);
    }
    const std::string id = find_commit(revision);
    if (id.empty()) unknown_ref(ref, refs);
    return id;
  }
  if (is_full_commit(ref)) return lower_case(ref);
  const Refs refs = list_remote();
  if (const auto named = find_ref(refs, ref); named != refs.end()) return named->second;
  if (!can_be_short_commit(ref)) unknown_ref(ref, refs);
  create_own(refs.front().second.size());
  fetch_history(true);
  const std::string id = find_commit(lower_case(ref));
  if (id.empty()) unknown_ref(ref, refs);
  return id;
}

std::string GitRepository::fetch(const std::string& ref, const std::string& commit, bool own_copy) {
  check_ref(ref);
  if (!commit.empty() && !is_full_commit(commit))
    fail(ExitCode::outside, "'{}' is not a full commit id", printable(commit));
  const std::string wanted = lower_case(!commit.empty() ? commit : is_full_commit(ref) ? ref : "");
  if (address_.kind != GitAddress::Kind::local || own_copy) return fetch_remote(ref, wanted);
  return resolve(wanted.empty() ? ref : wanted);
}

std::string GitRepository::fetch_remote(const std::string& ref, const std::string& wanted) {
  const Refs refs = list_remote();
  create_own(refs.front().second.size());
  if (wanted.empty()) {
    const auto named = find_ref(refs, ref);
    if (named == refs.end()) {
      if (!can_be_short_commit(ref)) unknown_ref(ref, refs);
      fetch_history(false);
      const std::string id = find_commit(lower_case(ref));
      if (id.empty()) unknown_ref(ref, refs);
      return id;
    }
    if (!fetch_one(named->first)) unknown_ref(ref, refs);
    std::string target = "refs/slipway/fetched";
    if (starts_with(named->first, "refs/heads/"))
      target = "refs/remotes/origin/" + named->first.substr(11);
    if (starts_with(named->first, "refs/tags/")) target = named->first;
    const std::string id = find_commit(target);
    if (id.empty())
      fail(ExitCode::outside, "{}: '{}' names no commit", address_.shown, printable(ref));
    return id;
  }
  // A tip is handed out by every server, any other commit by some.
  const auto tip = std::find_if(refs.begin(), refs.end(), [&](const auto& entry) {
    return entry.second == wanted && starts_with(entry.first, "refs/");
  });
  const bool fetched = fetch_one(tip != refs.end() ? tip->first : wanted);
  if (!fetched || find_commit(wanted).empty()) fetch_history(false);
  const std::string id = find_commit(wanted);
  if (id != wanted)
    throw Error(ExitCode::outside, fmt::format("{} has no commit {}", address_.shown, wanted))
        .set_hint("it was never pushed there, or its branch was deleted or rewritten");
  return id;
}

int64_t GitRepository::commit_time(const std::string& commit) const {
  const std::string text = git_.run_ok({"cat-file", "commit", commit}, address_.shown);
  for (const std::string& line : split(text.substr(0, text.find("\n\n")), '\n')) {
    if (!starts_with(line, "committer ")) continue;
    const size_t zone = line.rfind(' ');
    const size_t time = zone == std::string::npos ? zone : line.rfind(' ', zone - 1);
    if (time == std::string::npos) break;
    // Commits carry what their author's clock said; a tar and a file system have less room.
    const int64_t seconds = std::strtoll(line.c_str() + time + 1, nullptr, 10);
    return std::clamp<int64_t>(seconds, 0, 253'402'300'799);
  }
  fail(ExitCode::outside, "{}: commit {} is damaged", address_.shown, commit);
}

}  // namespace slipway::netfetch
