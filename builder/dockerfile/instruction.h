// A Dockerfile as it is written: typed instructions with positions, nothing expanded. parse() is
// pure; it applies the rules P1-P32 and H1-H10 of the language and refuses what breaks them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace slipway::dockerfile {

/// Lines count from 1; an instruction may span several.
struct Lines {
  int first = 0, last = 0;
};

/// A word as written (quotes and escapes in place), where it begins. Of a flag: its value with the
/// quotes gone that grouped it (P20). Of an operand in JSON form: the decoded string.
struct Word {
  std::string text;
  int line = 0, column = 0;  ///< from 1, bytes
};

struct Heredoc {
  std::string name;     ///< the terminator
  bool expand = true;   ///< no quoting in the word (H4)
  bool chomp = false;   ///< <<-
  std::string content;  ///< raw body lines with their line ends, tabs as they were
  int line = 0;         ///< of the first body line
};

struct From {
  Word image;
  std::optional<Word> platform;
  std::string name;          ///< AS name, lower-cased; empty = none
  std::string name_written;  ///< as written, for lints
};
struct Arg {
  struct One {
    std::string name;
    std::optional<Word> value;  ///< default as written
  };
  std::vector<One> args;
};
/// ENV and LABEL.
struct KeyValues {
  std::vector<std::pair<Word, Word>> pairs;
  bool legacy = false;  ///< "KEY value"
};
struct Env : KeyValues {};
struct Label : KeyValues {};

/// A command in shell or exec form.
struct Command {
  bool exec_form = false;
  /// Exec form: the array, maybe empty for CMD and ENTRYPOINT. Shell form: one text, maybe empty.
  std::vector<std::string> words;
};
struct RunMount {
  Word spec;  ///< the flag's value; keys and values are checked by compile() after expansion
};
struct Run {
  Command command;
  std::vector<RunMount> mounts;
  std::string network;   ///< "default", "none", "host" or empty
  std::string security;  ///< "sandbox", "insecure" or empty
  std::vector<std::string> devices;
  /// Of a general RUN the script is words[0] + "\n" + for each: content + name (H9).
  std::vector<Heredoc> heredocs;
  /// The line is one heredoc word and nothing else (H7, H8); there is exactly one heredoc then.
  bool sole_heredoc = false;
};
struct Copy {
  bool add = false;  ///< ADD
  std::vector<Word> sources;
  Word dest;
  /// Sources too, after the written ones in the order written. "<<-" has not been applied yet.
  std::vector<Heredoc> heredocs;
  std::optional<Word> from, chown, chmod, checksum;
  bool link = false, parents = false;
  std::optional<bool> keep_git_dir, unpack;
  std::vector<std::string> exclude;
};
struct Workdir {
  Word path;
};
struct User {
  Word name;
};
struct Expose {
  std::vector<Word> ports;  ///< in the order written
};
struct Volume {
  std::vector<Word> paths;
};
struct StopSignal {
  Word signal;
};
struct Shell {
  std::vector<std::string> words;
};
struct Cmd {
  Command command;
};
struct Entrypoint {
  Command command;
};
struct HealthCheck {
  bool none = false;
  Command command;
  /// As written: "30s"; checked by parse(). Empty = not given.
  std::string interval, timeout, start_period, start_interval;
  std::string retries;  ///< a decimal number from 0 to 2^31-1
};
/// A duration as Go writes it ("1h30m", "1.5s", "300ms", "0") in nanoseconds; empty when malformed
/// or out of range.
std::optional<int64_t> duration_ns(std::string_view text);
struct Maintainer {
  std::string name;
};
struct OnBuild {
  std::string text;  ///< the trigger as written, heredoc bodies re-attached (P31)
};

using Kind = std::variant<From, Arg, Env, Label, Run, Copy, Workdir, User, Expose, Volume,
                          StopSignal, Shell, Cmd, Entrypoint, HealthCheck, Maintainer, OnBuild>;

struct Instruction {
  Kind kind;
  std::string keyword;  ///< as written: "RUN", "run"
  Lines lines;
  int column = 1;  ///< of the keyword
  /// One logical line as written, continuations joined, for titles ("RUN make all").
  std::string text;
  std::vector<std::string> comments;  ///< directly above it (P17)
};

struct Stage {
  From from;
  Instruction instruction;  ///< the FROM
  std::vector<Instruction> body;
  std::string name;  ///< lower-cased; empty = unnamed
};

/// A finding that does not stop the build; rules are named as in dockerfile.md §5 and lint.h.
struct Finding {
  std::string rule;
  std::string text;
  Lines lines;
  /// Index of the stage that must be reachable for it to be told; -1 = always (L1).
  int stage = -1;
};

struct Directives {
  std::string syntax, check;
  char escape = '\\';
  int check_line = 0;  ///< where `check` stands
};

struct Dockerfile {
  std::string file;  ///< for messages
  std::string text;  ///< as given, for excerpts
  Directives directives;
  std::vector<Instruction> global_args;  ///< ARG before the first FROM
  std::vector<Stage> stages;
  /// Of the written form alone (lint.h), in order of lines, 1,000 at most.
  std::vector<Finding> findings;
};

/// Throws Error(app_files) with the position and, in its hint, a suggestion and the source lines
/// with the place marked. Linear in the text; more than 100,000 instructions are refused.
Dockerfile parse(std::string_view text, const std::string& file);

/// One trigger of ONBUILD, with the default escape character, as images store it (I14); the same
/// errors with `file` naming the image it came from.
Instruction parse_trigger(std::string_view text, const std::string& file);

/// An error at a place of the file, with the excerpt: what compile() throws too. Column 0 marks the
/// whole line.
Error error_at(const Dockerfile& file, int line, int column, std::string cause,
               std::string suggestion = {});

}  // namespace slipway::dockerfile
