#include <algorithm>

#include "base/text.h"
#include "dockerfile/flags.h"
#include "dockerfile/shown.h"
#include "dockerfile/statement.h"

namespace slipway::dockerfile {
namespace {

using Kinds = FlagSpec::Kind;

// No program can be started with so many; it bounds what a hostile file makes us keep.
constexpr size_t operands_max = 100'000;

/// Everything known of one instruction, and a function for each kind.
class Builder {
 public:
  Builder(const Context& context, const Statement& statement, const Heredocs& heredocs)
      : context_(context),
        statement_(statement),
        heredocs_(heredocs),
        keyword_(keyword_name(statement.keyword)),
        operands_(statement.split.operands) {}

  Kind build() const {
    switch (statement_.keyword) {
      case Keyword::add:
        return add();
      case Keyword::arg:
        return arg();
      case Keyword::cmd:
        return Cmd{command_without_flags()};
      case Keyword::copy:
        return copy();
      case Keyword::entrypoint:
        return Entrypoint{command_without_flags()};
      case Keyword::env:
        return Env{key_values()};
      case Keyword::expose:
        return expose();
      case Keyword::from:
        return from();
      case Keyword::healthcheck:
        return healthcheck();
      case Keyword::label:
        return Label{key_values()};
      case Keyword::maintainer:
        return Maintainer{one_operand("MAINTAINER is followed by a name").text};
      case Keyword::onbuild:
        return onbuild();
      case Keyword::run:
        return run();
      case Keyword::shell:
        return shell();
      case Keyword::stopsignal:
        return StopSignal{one_operand("STOPSIGNAL is followed by a signal: 'STOPSIGNAL SIGTERM'")};
      case Keyword::user:
        return User{
            one_operand("USER is followed by a name or number: 'USER app', 'USER 1000:1000'")};
      case Keyword::volume:
        return volume();
      case Keyword::workdir:
        return Workdir{one_operand("WORKDIR is followed by a path: 'WORKDIR /app'")};
    }
    throw std::logic_error("keyword without a function");
  }

 private:
  Error error(size_t offset, std::string cause, const std::string& hint = {}) const {
    return context_.error(offset, std::move(cause), hint);
  }
  Error error(const Word& word, std::string cause, const std::string& hint) const {
    return place_error(context_.text, context_.file, {word.line, word.column}, std::move(cause),
                       hint);
  }
  size_t name_at() const { return statement_.split.name.begin; }
  Flags flags(std::initializer_list<FlagSpec> specs) const {
    return {context_, statement_.split.flags, keyword_, specs};
  }
  void no_flags() const { flags({}); }

  void bound(size_t count) const {
    if (count > operands_max)
      throw error(operands_.begin, fmt::format("more than {} operands", operands_max),
                  "several instructions, or a folder instead of its files, do the same");
  }
  std::vector<Span> words_at_blanks() const {
    std::vector<Span> words = split_blanks(context_.line.text, operands_);
    bound(words.size());
    return words;
  }
  std::vector<Span> words_in_quotes() const {
    std::vector<Span> words = split_quoted(context_.line.text, operands_, context_.escape);
    bound(words.size());
    return words;
  }

  /// The rest of the line as it is (P26).
  Word one_operand(const char* hint) const {
    no_flags();
    if (operands_.empty()) throw error(name_at(), fmt::format("{} has no operand", keyword_), hint);
    return context_.word(operands_);
  }

  Command command(Span text, const std::optional<JsonForm>& json) const {
    Command command;
    command.exec_form = json.has_value();
    if (!json) {
      command.words.emplace_back(context_.view(text));
      note_broken_json(text);
      return command;
    }
    bound(json->strings.size());
    for (const JsonString& element : json->strings) command.words.push_back(element.text);
    return command;
  }

  /// ['a'] and ["a"] # b are run by a shell, which is seldom meant.
  void note_broken_json(Span text) const {
    const std::string_view view = context_.view(text);
    if (!view.starts_with('[')) return;
    const Span inside = trim_blanks(view, {1, view.size()});
    if (inside.empty() || (view[inside.begin] != '"' && view[inside.begin] != '\'')) return;
    context_.find("InvalidJSONForm",
                  fmt::format("The operands of {} begin like a JSON array, but are none; they are "
                              "taken as plain text",
                              keyword_));
  }

  Command command_without_flags() const {
    no_flags();
    Command made = command(operands_, statement_.json);
    if (!made.exec_form && made.words[0].empty()) note_no_command();
    return made;
  }
  void note_no_command() const {
    context_.find("MissingCommand",
                  fmt::format("{} has no command; the shell is started with nothing", keyword_));
  }

  Run run() const {
    const Flags given = flags({{"mount", Kinds::texts},
                               {"network", Kinds::text},
                               {"security", Kinds::text},
                               {"device", Kinds::texts}});
    Run run;
    for (Word& mount : given.texts("mount")) run.mounts.push_back({std::move(mount)});
    run.network = one_of(given.text("network"), "network", {"default", "none", "host"});
    run.security = one_of(given.text("security"), "security", {"sandbox", "insecure"});
    for (const Word& device : given.texts("device")) run.devices.push_back(device.text);
    run.command = command(operands_, statement_.json);
    run.heredocs = heredocs_.bodies;
    if (run.command.exec_form && run.command.words.empty())
      throw error(operands_.begin, "RUN has an empty command", "name the program: [\"/bin/true\"]");
    if (!run.command.exec_form && run.command.words[0].empty()) note_no_command();
    run.sole_heredoc = is_sole_heredoc();
    return run;
  }

  bool is_sole_heredoc() const {
    if (heredocs_.bodies.size() != 1) return false;
    const Span word = heredocs_.found.words[0].span;
    return word.begin == operands_.begin && word.end == operands_.end;
  }

  std::string one_of(const std::optional<Word>& value, const char* flag,
                     const std::vector<std::string>& allowed) const {
    if (!value) return {};
    if (std::find(allowed.begin(), allowed.end(), value->text) != allowed.end()) return value->text;
    const auto near =
        value->text.size() < 40 ? closest(lower_case(value->text), allowed) : std::nullopt;
    throw error(
        *value,
        fmt::format("'--{}' is one of {}, not '{}'", flag, join(allowed, ", "), shown(value->text)),
        near ? fmt::format("did you mean '{}'?", *near) : std::string());
  }

  Copy copy() const {
    const Flags given = flags({{"from", Kinds::text},
                               {"chown", Kinds::text},
                               {"chmod", Kinds::text},
                               {"link", Kinds::boolean},
                               {"parents", Kinds::boolean},
                               {"exclude", Kinds::texts}});
    Copy copy;
    copy.from = given.text("from");
    copy.parents = given.boolean("parents").value_or(false);
    fill(copy, given);
    return copy;
  }

  Copy add() const {
    const Flags given = flags({{"chown", Kinds::text},
                               {"chmod", Kinds::text},
                               {"link", Kinds::boolean},
                               {"keep-git-dir", Kinds::boolean},
                               {"checksum", Kinds::text},
                               {"unpack", Kinds::boolean},
                               {"exclude", Kinds::texts}});
    Copy copy;
    copy.add = true;
    copy.checksum = given.text("checksum");
    copy.keep_git_dir = given.boolean("keep-git-dir");
    copy.unpack = given.boolean("unpack");
    fill(copy, given);
    return copy;
  }

  void fill(Copy& copy, const Flags& given) const {
    copy.chown = given.text("chown");
    copy.chmod = given.text("chmod");
    copy.link = given.boolean("link").value_or(false);
    for (const Word& pattern : given.texts("exclude")) copy.exclude.push_back(pattern.text);
    copy.heredocs = heredocs_.bodies;
    std::vector<Word> words = statement_.json ? json_words() : words_beside_heredocs();
    const bool ends_in_heredoc =
        !heredocs_.found.words.empty() && heredocs_.found.words.back().span.end == operands_.end;
    if (ends_in_heredoc)
      throw error(heredocs_.found.words.back().span.begin,
                  fmt::format("{} has a heredoc as destination", keyword_),
                  "name the file it becomes: 'COPY <<EOF /etc/motd'");
    if (words.empty() || words.size() + copy.heredocs.size() < 2)
      throw error(name_at(), fmt::format("{} needs a source and a destination", keyword_),
                  words.empty() ? std::string("the last operand is the destination")
                                : fmt::format("'{}' is the only operand", shown(words[0].text)));
    copy.dest = std::move(words.back());
    words.pop_back();
    copy.sources = std::move(words);
  }

  std::vector<Word> json_words() const {
    std::vector<Word> words;
    bound(statement_.json->strings.size());
    for (const JsonString& element : statement_.json->strings)
      words.push_back(context_.word(element.text, element.offset));
    return words;
  }

  /// Operands but for those the heredocs' words are made of (blanks may stand inside these).
  std::vector<Word> words_beside_heredocs() const {
    std::vector<Word> words;
    note_broken_json(operands_);
    // Both are in the order of the line.
    auto word = heredocs_.found.words.begin();
    const auto end = heredocs_.found.words.end();
    for (const Span& span : words_at_blanks()) {
      while (word != end && word->span.end <= span.begin) ++word;
      const bool heredoc = word != end && word->span.begin <= span.begin;
      if (heredoc) continue;
      if (!heredocs_.found.problem.empty() && context_.view(span).starts_with("<<"))
        throw error(span.begin, "this is taken for no heredoc, because the line cannot be read",
                    heredocs_.found.problem);
      words.push_back(context_.word(span));
    }
    return words;
  }

  From from() const {
    const Flags given = flags({{"platform", Kinds::text}});
    const std::vector<Span> words = words_at_blanks();
    const bool named = words.size() == 3 && lower_case(context_.view(words[1])) == "as";
    if (words.size() != 1 && !named) throw wrong_from(words);
    From from;
    from.image = context_.word(words[0]);
    from.platform = given.text("platform");
    if (!named) return from;
    from.name_written = context_.view(words[2]);
    from.name = lower_case(from.name_written);
    const bool valid =
        from.name[0] >= 'a' && from.name[0] <= 'z' &&
        from.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
    if (!valid)
      throw error(words[2].begin, fmt::format("'{}' cannot name a stage", shown(from.name_written)),
                  "a stage's name starts with a letter and has letters, digits, '-', '_' and '.'");
    return from;
  }

  Error wrong_from(const std::vector<Span>& words) const {
    for (const Span& word : words)
      if (context_.view(word).starts_with('#'))
        return error(word.begin, "a comment stands on a line of its own", "move it above the FROM");
    if (words.empty())
      return error(name_at(), "FROM names no image", "write 'FROM image' or 'FROM image AS name'");
    const size_t wrong = words.size() == 3 ? 1 : words.size() == 2 ? 1 : 3;
    return error(words[wrong].begin,
                 fmt::format("FROM takes an image or 'image AS name', not {} words", words.size()),
                 words.size() == 3 ? "the word between image and name is 'AS'"
                                   : "write 'FROM image' or 'FROM image AS name'");
  }

  Arg arg() const {
    no_flags();
    const std::vector<Span> words = words_in_quotes();
    if (words.empty())
      throw error(name_at(), "ARG names no variable", "write 'ARG NAME' or 'ARG NAME=default'");
    Arg arg;
    for (const Span& span : words) {
      const std::string_view word = context_.view(span);
      const size_t equals = word.find('=');
      if (equals == 0)
        throw error(span.begin, "a name is missing before '='",
                    "no blanks may stand around the equals sign: 'ARG NAME=default'");
      Arg::One one{std::string(word.substr(0, equals)), std::nullopt};
      if (equals != std::string_view::npos)
        one.value = context_.word(Span{span.begin + equals + 1, span.end});
      arg.args.push_back(std::move(one));
    }
    return arg;
  }

  KeyValues key_values() const {
    no_flags();
    const std::vector<Span> words = words_in_quotes();
    if (words.empty())
      throw error(name_at(), fmt::format("{} has no operands", keyword_),
                  fmt::format("write '{} key=value'", keyword_));
    KeyValues result;
    if (context_.view(words[0]).find('=') == std::string_view::npos) {
      result.legacy = true;
      result.pairs.push_back(legacy_pair());
      return result;
    }
    for (const Span& span : words) {
      const size_t equals = context_.view(span).find('=');
      if (equals == std::string_view::npos)
        throw error(span.begin, fmt::format("'{}' has no equals sign", shown(context_.view(span))),
                    "write key=value; a value with blanks stands in quotes: key=\"a b\"");
      if (equals == 0)
        throw error(span.begin, "a name is missing before '='",
                    "no blanks may stand around the equals sign: 'key=value'");
      result.pairs.emplace_back(context_.word(Span{span.begin, span.begin + equals}),
                                context_.word(Span{span.begin + equals + 1, span.end}));
    }
    return result;
  }

  /// "KEY rest of the line", quotes mean nothing (P27).
  std::pair<Word, Word> legacy_pair() const {
    const std::vector<Span> words = words_at_blanks();
    if (words.size() < 2)
      throw error(words[0].begin, fmt::format("'{}' has no value", shown(context_.view(words[0]))),
                  fmt::format("write '{} {}=value'", keyword_, shown(context_.view(words[0]))));
    return {context_.word(words[0]), context_.word(Span{words[1].begin, operands_.end})};
  }

  Expose expose() const {
    no_flags();
    Expose expose;
    for (const Span& span : words_at_blanks()) expose.ports.push_back(context_.word(span));
    if (expose.ports.empty())
      throw error(name_at(), "EXPOSE names no port", "write 'EXPOSE 8080' or 'EXPOSE 53/udp'");
    return expose;
  }

  Volume volume() const {
    no_flags();
    Volume volume;
    if (statement_.json) {
      volume.paths = json_words();
    } else {
      note_broken_json(operands_);
      for (const Span& span : words_at_blanks()) volume.paths.push_back(context_.word(span));
    }
    if (volume.paths.empty())
      throw error(name_at(), "VOLUME names no path", "write 'VOLUME /data'");
    for (Word& path : volume.paths) {
      const Span inside = trim_blanks(path.text, {0, path.text.size()});
      path.text = path.text.substr(inside.begin, inside.end - inside.begin);
      if (path.text.empty()) throw error(path, "a volume's path is empty", "write 'VOLUME /data'");
    }
    return volume;
  }

  Shell shell() const {
    no_flags();
    const char* hint = "write it as a JSON array: 'SHELL [\"/bin/bash\", \"-c\"]'";
    if (operands_.empty()) throw error(name_at(), "SHELL has no operands", hint);
    if (!statement_.json) throw error(operands_.begin, "SHELL takes a JSON array of strings", hint);
    if (statement_.json->strings.empty()) throw error(operands_.begin, "SHELL is empty", hint);
    bound(statement_.json->strings.size());
    Shell shell;
    for (const JsonString& element : statement_.json->strings) shell.words.push_back(element.text);
    return shell;
  }

  HealthCheck healthcheck() const {
    const std::vector<Span> words = words_at_blanks();
    if (words.empty())
      throw error(name_at(), "HEALTHCHECK has no operands",
                  "write 'HEALTHCHECK CMD command' or 'HEALTHCHECK NONE'");
    HealthCheck check;
    const std::string type = upper_case(context_.view(words[0]));
    check.none = type == "NONE";
    if (check.none) {
      if (words.size() > 1)
        throw error(words[1].begin, "HEALTHCHECK NONE takes no operands", "remove what follows");
      no_flags();
      return check;
    }
    const Flags given = flags({{"interval", Kinds::text},
                               {"timeout", Kinds::text},
                               {"start-period", Kinds::text},
                               {"start-interval", Kinds::text},
                               {"retries", Kinds::text}});
    if (type != "CMD")
      throw error(
          words[0].begin,
          fmt::format("HEALTHCHECK knows CMD and NONE, not '{}'", shown(context_.view(words[0]))),
          "write 'HEALTHCHECK CMD command' or 'HEALTHCHECK NONE'");
    const Span rest = trim_blanks(context_.line.text, {words[0].end, operands_.end});
    const std::optional<JsonForm> json = read_json_form(context_.line.text, rest);
    if (json && json->other)
      throw error(*json->other, "in JSON form every element is a string",
                  "write it in double quotes");
    if (rest.empty() || (json && json->strings.empty()))
      throw error(words[0].begin, "HEALTHCHECK CMD has no command",
                  "write 'HEALTHCHECK CMD curl -f http://localhost/'");
    check.command = command(rest, json);
    check.interval = duration(given, "interval");
    check.timeout = duration(given, "timeout");
    check.start_period = duration(given, "start-period");
    check.start_interval = duration(given, "start-interval");
    check.retries = retries(given);
    return check;
  }

  std::string duration(const Flags& given, const char* flag) const {
    const std::optional<Word> value = given.text(flag);
    if (!value || value->text.empty()) return {};
    const std::optional<int64_t> length = duration_ns(value->text);
    if (!length)
      throw error(*value, fmt::format("'--{}={}' is no duration", flag, shown(value->text)),
                  "a duration is a number with its unit: 30s, 1m30s, 500ms");
    if (*length != 0 && *length < 1'000'000)
      throw error(*value, fmt::format("'--{}={}' is less than 1ms", flag, shown(value->text)),
                  "0 means the default");
    return value->text;
  }

  std::string retries(const Flags& given) const {
    const std::optional<Word> value = given.text("retries");
    if (!value || value->text.empty()) return {};
    std::string digits = value->text;
    if (digits.starts_with('+')) digits.erase(0, 1);
    digits.erase(0, std::min(digits.find_first_not_of('0'),
                             digits.size() - std::min<size_t>(1, digits.size())));
    const bool number = !digits.empty() && digits.size() <= 10 &&
                        digits.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stoll(digits) > 2147483647)
      throw error(
          *value,
          fmt::format("'--retries={}' is no number from 0 to 2147483647", shown(value->text)),
          "write '--retries=3'");
    return digits;
  }

  OnBuild onbuild() const {
    no_flags();
    if (operands_.empty())
      throw error(name_at(), "ONBUILD holds no instruction", "write 'ONBUILD RUN command'");
    const Statement trigger = read_statement(context_, operands_.begin, statement_.trigger.value());
    Builder(context_, trigger, heredocs_).build();
    OnBuild result{std::string(context_.view(operands_))};
    for (const Heredoc& heredoc : heredocs_.bodies)
      result.text += "\n" + heredoc.content + heredoc.name;
    return result;
  }

  const Context& context_;
  const Statement& statement_;
  const Heredocs& heredocs_;
  const char* keyword_;
  Span operands_;
};

}  // namespace

Kind build_instruction(const Context& context, const Statement& statement,
                       const Heredocs& heredocs) {
  return Builder(context, statement, heredocs).build();
}

}  // namespace slipway::dockerfile
