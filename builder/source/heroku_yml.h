// heroku.yml: which images an app is made of and how they are run (heroku.md §12). The platform
// checks the file against a schema that forbids unknown keys; its words are used where they are
// known (YML-2), and every mistake is told at once, with its place.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/lines.h"

namespace slipway::source {

/// One entry of build.docker (YML-4, YML-11).
struct HerokuImage {
  std::string name;        ///< the process type
  std::string dockerfile;  ///< relative to the app, clean, never leaves it
  std::string target;      ///< stage; empty = the last one
  SourcePos pos;
  /// The Dockerfile's folder, always the context; "." = the app.
  std::string context() const;
};

/// One entry of build.config: a build arg of every image (YML-5).
struct HerokuBuildArg {
  std::string name;
  std::string value;  ///< as written: "true", "1.0" (YML-7)
  /// The value is "$NAME" or "${NAME}" and nothing else: it stands for that config var (YML-6).
  std::string config_var;
  SourcePos pos;
};

/// What a process type or the release phase runs (YML-8, YML-9).
struct HerokuCommand {
  std::string name;   ///< process type; "release" for the release phase
  std::string image;  ///< name of the entry of build.docker whose image it runs in
  /// As written, a list of one or a string; empty = the image's own CMD.
  std::vector<std::string> command;
  SourcePos pos;
  /// The one line a shell is given: the items with a blank between them.
  std::string line() const;
};

struct HerokuAddon {
  std::string plan;  ///< "heroku-postgresql:hobby"
  std::string as;    ///< empty = not named
};

struct HerokuYml {
  /// setup: read when an app is made, never by a push (YML-16); values as written.
  std::vector<HerokuAddon> addons;
  std::map<std::string, std::string> setup_config;
  std::vector<HerokuImage> images;     ///< in the file's order, at least one
  std::vector<HerokuBuildArg> config;  ///< in the file's order
  std::optional<HerokuCommand> release;
  /// What runs, in the file's order; images without an entry of `run` follow with their own CMD.
  std::vector<HerokuCommand> processes;
  std::vector<Warning> warnings;
};

/// What is wrong with a heroku.yml: the Error is the first mistake, `problems` are they all (at
/// most 20) in the file's order, in the platform's words ("build.languages in body is a forbidden
/// property").
class HerokuYmlInvalid : public Error {
 public:
  struct Problem {
    SourcePos pos;
    std::string text;
    std::string hint;
  };
  /// At least one problem.
  explicit HerokuYmlInvalid(std::vector<Problem> problems);
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

/// Reads anchors and merge keys, and of several documents the first (YML-7). Keys of the withdrawn
/// preview are refused by name (YML-3). `run` and `release` get their images by YML-8: their own,
/// else the one of the same name, else "web", else the only one. Throws HerokuYmlInvalid (exit 4)
/// with file:line:column; at most 1 MiB, and what merge keys add is bounded (threats 7, 21).
HerokuYml parse_heroku_yml(std::string_view text, const std::string& file = "heroku.yml");

}  // namespace slipway::source
