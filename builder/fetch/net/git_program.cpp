#include "netfetch/git_program.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/text.h"

namespace slipway::netfetch {
namespace {

// The user's own settings about certificates, keys and configuration; every other GIT_* variable
// (GIT_DIR of a hook, GIT_TRACE_CURL that prints tokens, …) stays outside.
bool keep_variable(std::string_view name) {
  constexpr std::array kept = {
      "GIT_SSH",           "GIT_SSH_COMMAND",          "GIT_SSH_VARIANT",   "GIT_ASKPASS",
      "GIT_SSL_CAINFO",    "GIT_SSL_CAPATH",           "GIT_SSL_CERT",      "GIT_SSL_KEY",
      "GIT_SSL_NO_VERIFY", "GIT_CONFIG_GLOBAL",        "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
      "GIT_CONFIG_COUNT",  "GIT_HTTP_PROXY_AUTHMETHOD"};
  if (!starts_with(name, "GIT_")) return true;
  return std::find(kept.begin(), kept.end(), name) != kept.end() ||
         starts_with(name, "GIT_CONFIG_KEY_") || starts_with(name, "GIT_CONFIG_VALUE_");
}

// git asks for "get"; the values come from the environment, not from a line of shell.
constexpr char helper[] =
    "!f() { test \"$1\" = get && "
    "printf 'username=%s\\npassword=%s\\n' \"$SLIPWAY_GIT_USER\" \"$SLIPWAY_GIT_PASSWORD\"; }; f";

const std::vector<std::pair<std::string, std::string>>& settings() {
  static const std::vector<std::pair<std::string, std::string>> list = {
      {"core.hooksPath", "/dev/null"},
      {"core.fsmonitor", "false"},
      {"core.attributesFile", "/dev/null"},
      {"core.autocrlf", "false"},
      {"core.symlinks", "true"},
      {"filter.lfs.smudge", ""},
      {"filter.lfs.process", ""},
      {"filter.lfs.clean", ""},
      {"filter.lfs.required", "false"},
      {"init.templateDir", ""},
      {"init.defaultBranch", "main"},
      {"fetch.recurseSubmodules", "false"},
      {"submodule.recurse", "false"},
      {"fetch.unpackLimit", "1"},
      {"fetch.writeCommitGraph", "false"},
      {"transfer.bundleURI", "false"},
      {"gc.auto", "0"},
      {"maintenance.auto", "false"},
      {"http.lowSpeedLimit", "1"},
      {"http.lowSpeedTime", "60"},
      // Reading another user's repository runs nothing of it: see environment().
      {"safe.directory", "*"},
  };
  return list;
}

// "Receiving objects:  45% (9/20), 1.20 MiB | 3 MiB/s" → bytes
std::optional<uint64_t> received_bytes(std::string_view line) {
  const size_t start = line.find("), ");
  if (!starts_with(line, "Receiving objects:") || start == std::string_view::npos)
    return std::nullopt;
  double amount = 0;
  char unit[8] = "";
  if (std::sscanf(std::string(line.substr(start + 3)).c_str(), "%lf %7[a-zA-Z]", &amount, unit) !=
      2)
    return std::nullopt;
  const std::string_view name = unit;
  const double factor = name == "GiB"   ? 1 << 30
                        : name == "MiB" ? 1 << 20
                        : name == "KiB" ? 1024
                                        : 1;
  return static_cast<uint64_t>(amount * factor);
}

bool is_progress(std::string_view line) {
  constexpr std::array starts = {"Receiving objects:",
                                 "Resolving deltas:",
                                 "remote: Counting objects:",
                                 "remote: Compressing objects:",
                                 "remote: Enumerating objects:",
                                 "remote: Total ",
                                 "Updating files:",
                                 "Checking connectivity:"};
  return std::any_of(starts.begin(), starts.end(),
                     [&](const char* start) { return starts_with(line, start); });
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

GitProgram::GitProgram(GitCredentials credentials) : credentials_(std::move(credentials)) {
  if (find_program("git").empty())
    throw Error(ExitCode::machine, "git is not installed").set_hint("apt-get install git");
}

void GitProgram::set_object_folders(const std::string& objects, const std::string& alternates) {
  objects_ = objects;
  alternates_ = alternates;
}

std::map<std::string, std::string> GitProgram::environment() const {
  std::map<std::string, std::string> env;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || !keep_variable(text.substr(0, equals))) continue;
    env.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  env["LC_ALL"] = "C";
  env["GIT_TERMINAL_PROMPT"] = "0";
  env["GIT_LFS_SKIP_SMUDGE"] = "1";
  env["GIT_OPTIONAL_LOCKS"] = "0";
  // The commit's own objects, whatever the repository says to replace them by.
  env["GIT_NO_REPLACE_OBJECTS"] = "1";
  env["GIT_NO_LAZY_FETCH"] = "1";
  env["GIT_ATTR_NOSYSTEM"] = "1";
  // Wins over every protocol.* setting, the repository's and the user's.
  env["GIT_ALLOW_PROTOCOL"] = transports_;
  if (!git_dir_.empty()) env["GIT_DIR"] = git_dir_;
  if (!ssh_command_.empty()) env["GIT_SSH_COMMAND"] = ssh_command_;
  if (!ceiling_.empty()) env["GIT_CEILING_DIRECTORIES"] = ceiling_;
  if (!objects_.empty()) {
    env["GIT_OBJECT_DIRECTORY"] = objects_;
    env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = alternates_;
  }
  unsigned count = 0;
  if (const auto given = env.find("GIT_CONFIG_COUNT"); given != env.end())
    count = static_cast<unsigned>(std::strtoul(given->second.c_str(), nullptr, 10));
  const auto add = [&](const std::string& key, const std::string& value) {
    env[fmt::format("GIT_CONFIG_KEY_{}", count)] = key;
    env[fmt::format("GIT_CONFIG_VALUE_{}", count)] = value;
    ++count;
  };
  for (const auto& [key, value] : settings()) add(key, value);
  if (!credentials_.origin.empty()) {
    const std::string key = "credential." + credentials_.origin + ".helper";
    add(key, "");  // what the URL says comes before the user's own helpers
    add(key, helper);
    env["SLIPWAY_GIT_USER"] = credentials_.user;
    env["SLIPWAY_GIT_PASSWORD"] = credentials_.password;
  }
  env["GIT_CONFIG_COUNT"] = std::to_string(count);
  return env;
}

Child GitProgram::start(const std::vector<std::string>& arguments, int stdin_fd, int stdout_fd,
                        int stderr_fd) const {
  SpawnOptions options;
  options.argv = {"git"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.env = environment();
  // Not where the user stands: a .git there could name programs to run.
  options.cwd = "/";
  options.stdin_fd = stdin_fd;
  options.stdout_fd = stdout_fd;
  options.stderr_fd = stderr_fd;
  // One group with slipway-fetch: who kills that reaches git's helpers too.
  options.own_process_group = false;
  return spawn(options);
}

GitOutput GitProgram::run(const std::vector<std::string>& arguments, size_t out_max) const {
  Pipe out = Pipe::create(), err = Pipe::create();
  Child child = start(arguments, -1, out.write.get(), err.write.get());
  out.write.reset();
  err.write.reset();
  GitOutput result;
  std::string line;
  while (out.read || err.read) {
    pollfd polls[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
    if (poll(polls, 2, -1) < 0 && errno != EINTR) fail_errno("poll");
    char buffer[65536];
    if (polls[0].revents != 0) {
      const size_t count = read_some(out.read.get(), buffer, sizeof buffer);
      if (count == 0) out.read.reset();
      if (result.out.size() + count > out_max)
        fail(ExitCode::outside, "git {} answers without end", arguments.front());
      result.out.append(buffer, count);
    }
    if (polls[1].revents == 0) continue;
    const size_t count = read_some(err.read.get(), buffer, sizeof buffer);
    if (count == 0) err.read.reset();
    for (size_t i = 0; i < count; ++i) {
      if (buffer[i] != '\n' && buffer[i] != '\r') {
        if (line.size() < 4096) line += buffer[i];
        continue;
      }
      if (const auto bytes = received_bytes(line); bytes && on_received_) on_received_(*bytes);
      if (!line.empty() && !is_progress(line) && result.err.size() < (64 << 10))
        result.err += line + "\n";
      line.clear();
    }
  }
  if (!line.empty()) result.err += line + "\n";
  result.status = child.wait();
  // By value as well: a server may echo what it was sent (threat 15).
  if (credentials_.password.size() >= 4)
    for (size_t at; (at = result.err.find(credentials_.password)) != std::string::npos;)
      result.err.replace(at, credentials_.password.size(), "***");
  return result;
}

std::string GitProgram::run_ok(const std::vector<std::string>& arguments,
                               const std::string& doing) const {
  GitOutput output = run(arguments);
  if (output.status.ok()) return std::move(output.out);
  const std::string words = git_words(output.err);
  Error error(ExitCode::outside,
              fmt::format("{}: {}", doing, words.empty() ? output.status.to_string() : words));
  if (const std::string hint = git_hint(output.err); !hint.empty()) error.set_hint(hint);
  throw error;
}

std::string git_words(const std::string& err) {
  std::vector<std::string> words;
  for (std::string line : split(err, '\n')) {
    for (const char* start : {"fatal: ", "error: ", "remote: ", "ERROR: ", "ssh: "})
      if (starts_with(line, start)) line.erase(0, std::strlen(start));
    // Some servers end their last message with a NUL.
    while (!line.empty() && line.back() == '\0') line.pop_back();
    const std::string_view text = trim(line);
    // What git appends to every failure of a remote.
    if (text.empty() || text == "Could not read from remote repository." ||
        starts_with(text, "Please make sure you have the correct") ||
        text == "and the repository exists." || starts_with(text, "warning: ") ||
        starts_with(text, "hint: ") || starts_with(text, "Cloning into "))
      continue;
    const std::string shown = printable(text);
    if (std::find(words.begin(), words.end(), shown) == words.end()) words.push_back(shown);
  }
  if (words.empty() && contains(err, "Could not read from remote repository"))
    return "could not read from the remote repository";
  return join(words, "; ");
}

std::string git_hint(const std::string& err) {
  if (contains(err, "could not read Username") || contains(err, "could not read Password") ||
      contains(err, "Authentication failed") || contains(err, "terminal prompts disabled") ||
      contains(err, "HTTP Basic: Access denied"))
    return "the repository is private or does not exist: put a token into the URL "
           "(https://user:token@host/…) or set up a git credential helper";
  if (contains(err, "Permission denied (publickey") ||
      contains(err, "Host key verification failed"))
    return "check with 'ssh -T' that this machine's key and known_hosts are in order";
  if (contains(err, "Could not resolve host") || contains(err, "Failed to connect") ||
      contains(err, "Connection timed out") || contains(err, "unable to connect") ||
      contains(err, "Connection refused") || contains(err, "Network is unreachable"))
    return "check the network and the proxy settings (http_proxy, https_proxy, no_proxy)";
  if (contains(err, "certificate"))
    return "if a proxy of your company inspects TLS, add its CA to the system's bundle or name it "
           "in GIT_SSL_CAINFO";
  if (contains(err, "not found") || contains(err, "does not appear to be a git repository"))
    return "check the address of the repository";
  if (contains(err, "transport") && contains(err, "not allowed"))
    return "only https, http, git and ssh addresses are fetched";
  return {};
}

bool is_transient(const std::string& err) {
  for (const char* sign :
       {"Could not resolve host", "Connection timed out", "Connection reset", "Connection refused",
        "early EOF", "unexpected disconnect", "Operation too slow", "RPC failed",
        "The requested URL returned error: 5", "The requested URL returned error: 429",
        "Temporary failure", "Empty reply"})
    if (contains(err, sign)) return true;
  return false;
}

}  // namespace slipway::netfetch
