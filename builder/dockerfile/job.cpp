#include "dockerfile/job.h"

#include <array>
#include <charconv>

#include "base/text.h"
#include "dockerfile/keyword.h"

namespace slipway::dockerfile {
namespace {

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return value;
}

// Later no clock of ours could show it, nor count its nanoseconds.
constexpr int64_t epoch_max = INT64_MAX / 1'000'000'000;

// Values of ARG before the first FROM; their defaults see the earlier ones only (V15, V17).
void read_global_args(Job& job) {
  for (const Instruction& instruction : job.file.global_args) {
    const Site site{&job.file, instruction.lines, instruction.column, -1, {}};
    for (const Arg::One& arg : std::get<Arg>(instruction.kind).args) {
      job.global_names.insert(arg.name);
      job.declared.insert(arg.name);
      if (const std::optional<Text> given = job.args.find(arg.name))
        job.global.set(arg.name, *given);
      else if (arg.value)
        job.global.set(arg.name, job.expand_global(site, *arg.value).text);
    }
  }
}

// Which epoch counts, and what consumers of the arg see (V25).
void resolve_epoch(Job& job) {
  static const std::string name = "SOURCE_DATE_EPOCH";
  const std::optional<Text> given = job.args.find(name);
  const Text* global = job.global.find(name);
  std::string text;
  if (given)
    text = given->value;
  else if (global != nullptr)
    text = global->value;
  job.epoch = whole_number(text);
  if (job.epoch && *job.epoch >= 0 && *job.epoch <= epoch_max) return;
  job.epoch.reset();
  const bool of_local_context = text == "context" && job.options.context &&
                                std::holds_alternative<graph::LocalOp>(job.options.context->op());
  if (!text.empty() && !of_local_context)
    throw Error(ExitCode::app_files,
                fmt::format("SOURCE_DATE_EPOCH is '{}'; only seconds since 1970 are understood",
                            printable(text)))
        .set_pos({job.file.file, 0, 0})
        .set_hint("give a number: --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)");
  // Empty takes it back; a local directory has no time of its own.
  job.args.erase(name);
  job.global.erase(name);
}

// One part of a name between underscores.
template <typename Names>
bool has_part(const std::string& name, const Names& parts) {
  for (const std::string& part : split(lower_case(name), '_'))
    if (std::find(parts.begin(), parts.end(), part) != parts.end()) return true;
  return false;
}

}  // namespace

Error Site::error(std::string cause, const std::string& suggestion) const {
  if (trigger.empty()) return error_at(*file, lines.first, column, std::move(cause), suggestion);
  const std::string first_line = trigger.substr(0, trigger.find('\n'));
  return error_at(
      *file, lines.first, column,
      fmt::format("{} (in the base's trigger 'ONBUILD {}')", cause, printable(first_line)),
      suggestion);
}

Error Site::error(const Word& word, std::string cause, const std::string& suggestion) const {
  if (!trigger.empty() || word.line == 0) return error(std::move(cause), suggestion);
  return error_at(*file, word.line, word.column, std::move(cause), suggestion);
}

Error Site::placed(const Error& problem, const Word& word) const {
  Word at = word;
  if (problem.pos()) at.column += std::max(0, problem.pos()->column);
  return error(at, problem.cause(), problem.hint());
}

Job::Job(const Dockerfile& dockerfile, const Options& given)
    : file(dockerfile),
      options(given),
      args(given),
      target_platform(given.platform.value_or(given.build_platform)) {
  const std::string stage = options.target.empty() ? file.stages.back().name : options.target;
  global = predefined_args(options.build_platform, target_platform, stage, args);
  read_global_args(*this);
  resolve_epoch(*this);
}

Expanded Job::expand_global(const Site& site, const Word& word) {
  try {
    return expand(word.text, escape(), global);
  } catch (const Error& problem) {
    throw site.placed(problem, word);
  }
}

void check_secret_name(Job& job, const Site& site, const char* instruction,
                       const std::string& name) {
  static constexpr std::array secret{"apikey",   "auth",  "credential", "credentials", "key",
                                     "password", "pword", "passwd",     "secret",      "token"};
  static constexpr std::array harmless{"public", "file", "version"};
  if (has_part(name, secret) && !has_part(name, harmless))
    job.find(site, "SecretsUsedInArgOrEnv",
             fmt::format("{} '{}' looks like a secret: its value would stay in the image; use "
                         "RUN --mount=type=secret",
                         instruction, printable(name)));
}

}  // namespace slipway::dockerfile
