// Instructions that change the image's config, and WORKDIR (dockerfile.md §3.4).
#include <array>
#include <charconv>

#include "base/text.h"
#include "dockerfile/expose.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"
#include "dockerfile/stage_compiler.h"

namespace slipway::dockerfile {
namespace {

// Names of Linux signals without SIG (signal(7)); RTMIN+n and RTMAX-n are computed.
constexpr std::array signal_names{
    "ABRT", "ALRM",   "BUS",  "CHLD",   "CLD",   "CONT", "FPE",  "HUP",   "ILL",
    "INT",  "IO",     "IOT",  "KILL",   "PIPE",  "POLL", "PROF", "PWR",   "QUIT",
    "SEGV", "STKFLT", "STOP", "SYS",    "TERM",  "TRAP", "TSTP", "TTIN",  "TTOU",
    "URG",  "USR1",   "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"};

bool is_number(std::string_view text, int first, int last) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size() && value >= first &&
         value <= last;
}

bool is_signal(std::string_view text) {
  if (is_number(text, 1, 64)) return true;
  const std::string upper = upper_case(text);
  std::string_view name = upper;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  if (name.starts_with("RTMIN+")) return is_number(name.substr(6), 1, 15);
  if (name.starts_with("RTMAX-")) return is_number(name.substr(6), 1, 14);
  return std::find(signal_names.begin(), signal_names.end(), name) != signal_names.end();
}

// What a name in the environment must not hold: a second '=' would move its end.
void check_name(const StageItem& item, const Word& word, const Text& name) {
  if (!name.value.empty() && name.value.find('=') == std::string::npos) return;
  throw item.site.error(word,
                        name.value.empty()
                            ? fmt::format("the name '{}' expands to nothing", printable(word.text))
                            : fmt::format("the name '{}' holds a '='", printable(name.shown)));
}

}  // namespace

void StageCompiler::arg(const StageItem& item, const Arg& arg) {
  std::vector<std::string> told;
  for (const Arg::One& one : arg.args) {
    check_secret_name(job_, item.site, "ARG", one.name);
    // V16: what was given, else the default here, else the one before the first FROM, else nothing;
    // V17: a default that does not count is not looked at.
    std::optional<Text> value = job_.args.find(one.name);
    if (!value && one.value) value = expand_word(item, *one.value);
    if (!value)
      if (const Text* global = job_.global.find(one.name)) value = *global;
    if (value && !is_no_variable(one.name)) state_.scope.set(one.name, *value);
    const auto known = std::find_if(state_.args.begin(), state_.args.end(),
                                    [&](const DeclaredArg& a) { return a.name == one.name; });
    if (known == state_.args.end())
      state_.args.push_back({one.name, value.value_or(Text())});
    else
      known->value = value.value_or(Text());
    told.push_back(value ? one.name + "=" + value->shown : one.name);
  }
  commit(item, "ARG " + join(told, " "), false);
}

void StageCompiler::env(const StageItem& item, const Env& env) {
  // All words see the environment from before the instruction (V13).
  std::vector<std::pair<Text, Text>> pairs;
  for (const auto& [key, value] : env.pairs) {
    pairs.emplace_back(expand_word(item, key), expand_word(item, value));
    check_name(item, key, pairs.back().first);
  }
  std::string told = "ENV";
  for (const auto& [key, value] : pairs) {
    check_secret_name(job_, item.site, "ENV", key.shown);
    state_.scope.set(key.value, value);
    oci::set_env(state_.config.config.env, key.value, value.value);
    told += " " + key.shown + "=" + value.shown;
  }
  commit(item, told, false);
}

void StageCompiler::label(const StageItem& item, const Label& label) {
  std::string told = "LABEL";
  std::vector<std::pair<Text, Text>> pairs;
  for (const auto& [key, value] : label.pairs)
    pairs.emplace_back(expand_word(item, key), expand_word(item, value));
  for (const auto& [key, value] : pairs) {
    state_.config.config.labels[key.value] = value.value;
    told += " " + key.shown + "=" + value.shown;
  }
  commit(item, told, false);
}

void StageCompiler::workdir(const StageItem& item, const Workdir& workdir) {
  const Text path = expand_word(item, workdir.path);
  if (!state_.workdir_given && !path.value.starts_with('/'))
    job_.find(item.site, "WorkdirRelativePath",
              fmt::format("'{}' counts from the base image's directory, which may change",
                          printable(path.shown)));
  state_.workdir_given = true;
  const std::string before = state_.config.config.working_dir;
  state_.config.config.working_dir = join_path(before, path.value);
  const std::string& directory = state_.config.config.working_dir;
  const bool layer = directory != "/";
  if (layer) {
    graph::FileAction mkdir;
    mkdir.kind = graph::FileAction::Kind::mkdir;
    mkdir.dest = directory;
    mkdir.mode = 0755;
    mkdir.timestamp_ns = epoch_ns();
    set_owner(item, workdir.path, state_.config.config.user, mkdir);
    graph::FileOp op{{mkdir}, state_.root == nullptr};
    std::vector<graph::NodeRef> inputs;
    if (state_.root) inputs.push_back(state_.root);
    add_layer(item,
              graph::Node::make(std::move(op), std::move(inputs),
                                describe(item, title(item, item.instruction->text, state_.scope))));
  }
  commit(item, "WORKDIR " + join_path(before, path.shown), layer);
}

void StageCompiler::user(const StageItem& item, const User& user) {
  const Text name = expand_word(item, user.name);
  try {
    check_user(name.value);
  } catch (const Error& problem) {
    throw item.site.error(user.name, "USER " + problem.cause(), problem.hint());
  }
  state_.config.config.user = name.value;
  commit(item, "USER " + name.shown, false);
}

void StageCompiler::expose(const StageItem& item, const Expose& expose) {
  std::vector<Word> words = expose.ports;
  std::stable_sort(words.begin(), words.end(),
                   [](const Word& a, const Word& b) { return a.text < b.text; });
  std::vector<std::string> told;
  for (const Word& word : words) {
    try {
      // For the names that are unset; words are split by expand_list().
      note_unset(item, expand(word.text, job_.escape(), state_.scope).unset);
      for (const Text& text : expand_list(word.text, job_.escape(), state_.scope)) {
        const ExposedPorts exposed = parse_exposed(text.value);
        if (exposed.has_mapping)
          job_.find(item.site, "ExposeInvalidFormat",
                    fmt::format("'{}' names an address or a port of the host, which an image does "
                                "not decide",
                                printable(text.shown)));
        if (exposed.has_capitals)
          job_.find(
              item.site, "ExposeProtoCasing",
              fmt::format("the protocol of '{}' should be in lower case", printable(text.shown)));
        for (const std::string& port : exposed.ports) {
          state_.config.config.exposed_ports.insert(port);
          told.push_back(text.hidden() ? text.shown : port);
        }
      }
    } catch (const Error& problem) {
      throw item.site.placed(problem, word);
    }
  }
  commit(item, "EXPOSE " + plain_list(told), false);
}

void StageCompiler::volume(const StageItem& item, const Volume& volume) {
  std::vector<std::string> told;
  for (const Word& word : volume.paths) {
    const Text path = expand_word(item, word);
    if (path.value.empty())
      throw item.site.error(
          word, fmt::format("the volume's path '{}' expands to nothing", printable(word.text)));
    state_.config.config.volumes.insert(path.value);
    told.push_back(path.shown);
  }
  commit(item, "VOLUME " + plain_list(told), false);
}

void StageCompiler::stop_signal(const StageItem& item, const StopSignal& signal) {
  const Text name = expand_word(item, signal.signal);
  if (!is_signal(name.value))
    throw item.site.error(signal.signal, fmt::format("'{}' is no signal", printable(name.shown)),
                          "write a name or number: SIGTERM, QUIT, 9");
  state_.config.config.stop_signal = name.value;
  commit(item, "STOPSIGNAL " + name.shown, false);
}

void StageCompiler::shell(const StageItem& item, const Shell& shell) {
  state_.config.config.shell = shell.words;
  commit(item, "SHELL " + plain_list(shell.words), false);
}

void StageCompiler::note_repeated(const StageItem& item, const char* keyword) {
  const auto earlier = given_.find(keyword);
  if (earlier != given_.end()) {
    // The earlier one is the one that does not count.
    Site site = item.site;
    site.lines = earlier->second;
    job_.find(site, "MultipleInstructionsDisallowed",
              fmt::format("a later {} of the stage replaces this one", keyword));
  }
  given_[keyword] = item.site.lines;
}

std::vector<std::string> StageCompiler::command_words(const StageItem& item, const Command& written,
                                                      const char* keyword) {
  if (written.exec_form) return written.words;
  if (state_.config.config.shell.empty())
    job_.find(item.site, "JSONArgsRecommended",
              fmt::format("{} in shell form does not pass on signals; write it as a JSON array",
                          keyword));
  return with_shell(written.words.at(0));
}

void StageCompiler::cmd(const StageItem& item, const Cmd& cmd) {
  note_repeated(item, "CMD");
  const std::vector<std::string> words = command_words(item, cmd.command, "CMD");
  state_.config.config.cmd = words;
  state_.config.config.args_escaped = true;
  commit(item, "CMD " + quoted_list(words), false);
}

void StageCompiler::entrypoint(const StageItem& item, const Entrypoint& entrypoint) {
  note_repeated(item, "ENTRYPOINT");
  const std::vector<std::string> words = command_words(item, entrypoint.command, "ENTRYPOINT");
  state_.config.config.entrypoint.reset();
  if (!words.empty()) state_.config.config.entrypoint = words;
  // A CMD of the base was written for its own ENTRYPOINT (I10).
  if (!given_.contains("CMD")) state_.config.config.cmd.reset();
  commit(item, "ENTRYPOINT " + quoted_list(words), false);
}

void StageCompiler::healthcheck(const StageItem& item, const HealthCheck& check) {
  note_repeated(item, "HEALTHCHECK");
  oci::Healthcheck health;
  if (check.none) {
    health.test = {"NONE"};
  } else {
    health.test = check.command.words;
    health.test.insert(health.test.begin(), check.command.exec_form ? "CMD" : "CMD-SHELL");
  }
  health.interval_ns = duration_ns(check.interval).value_or(0);
  health.timeout_ns = duration_ns(check.timeout).value_or(0);
  health.start_period_ns = duration_ns(check.start_period).value_or(0);
  health.start_interval_ns = duration_ns(check.start_interval).value_or(0);
  if (!check.retries.empty()) health.retries = std::stoi(check.retries);
  state_.config.config.healthcheck = health;
  commit(item, "HEALTHCHECK " + healthcheck_text(health), false);
}

void StageCompiler::maintainer(const StageItem& item, const Maintainer& maintainer) {
  state_.config.author = maintainer.name;
  commit(item, "MAINTAINER " + maintainer.name, false);
}

}  // namespace slipway::dockerfile
