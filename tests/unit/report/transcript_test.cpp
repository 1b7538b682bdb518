#include "report/transcript.h"

#include "base/text.h"
#include "helpers.h"

using namespace slipway;
using namespace slipway::report;

namespace {

/// What the Heroku view makes of a build's events.
template <typename Build>
std::string transcript(Build build) {
  Paper paper;
  Stream stream;
  stream.add_view(make_view("heroku", paper.fd()));
  build(stream);
  return paper.text();
}

void plain(Stream& stream, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) stream.plain(line);
}

}  // namespace

TEST_CASE("transcript: a build that succeeds, byte for byte") {
  CHECK(transcript([](Stream& out) {
          out.emit(BuildStarted{"b1", "shop", "buildpack", "named with -b", "heroku-24"});
          out.step("Building on the Heroku-24 stack");
          out.step("Using buildpacks:");
          out.detail("1. https://github.com/HashNuke/heroku-buildpack-elixir.git");
          out.detail("2. heroku/nodejs");
          out.emit(StepStarted{1, "detect"});
          out.emit(StepFinished{1, "detect"});
          out.step("Elixir app detected");
          out.emit(StepStarted{2, "compile"});
          out.emit(Output{2, "-----> Fetching …"});
          out.emit(Progress{2, "downloading", 10, 20, false});
          out.emit(Output{2, " done\n       50%\r       100%\n\x1b[1mraw\x1b[0m \xff\n"});
          out.emit(StepFinished{2, "compile"});
          out.step("Discovering process types");
          plain(out, process_type_lines({{"web", "a"}, {"release", "b"}},
                                        {{"web", "c"}, {"rake", "d"}, {"console", "e"}}));
          out.plain("");
          out.step("Compressing...");
          out.detail(compressed_text(86'088'090));
          out.step("Launching...");
          out.error(slug_size_warning(363'227'955));
          out.emit(BuildFinished{.ok = true});
        }) ==
        "-----> Building on the Heroku-24 stack\n"
        "-----> Using buildpacks:\n"
        "       1. https://github.com/HashNuke/heroku-buildpack-elixir.git\n"
        "       2. heroku/nodejs\n"
        "-----> Elixir app detected\n"
        "-----> Fetching … done\n"
        "       50%\r       100%\n"
        "\x1b[1mraw\x1b[0m \xff\n"
        "-----> Discovering process types\n"
        "       Procfile declares types     -> release, web\n"
        "       Default types for buildpack -> console, rake\n"
        "\n"
        "-----> Compressing...\n"
        "       Done: 82.1M\n"
        "-----> Launching...\n"
        " !     Warning: Your slug size (346 MB) exceeds our soft limit (300 MB) which may affect "
        "boot time.\n");
}

TEST_CASE("transcript: compile fails after half a line") {
  CHECK(transcript([](Stream& out) {
          out.step("Python app detected");
          out.emit(Output{1, " !     No requirements"});
          out.emit(StepFinished{1, "compile", StepFinished::Outcome::failed});
          plain(out, compile_failed("Python"));
          out.emit(BuildFinished{.ok = false, .exit_code = 1});
        }) ==
        "-----> Python app detected\n"
        " !     No requirements\n"
        "\n"
        " !     Push rejected, failed to compile Python app.\n"
        "\n"
        " !     Push failed\n");
}

TEST_CASE("transcript: a configured buildpack does not apply") {
  CHECK(join(not_compatible("heroku/ruby", "\x1b[31mError: no Gemfile\nsee docs\n"), "\n") ==
        "-----> App not compatible with buildpack: heroku/ruby\n"
        "       \x1b[31mError: no Gemfile\n"
        "see docs\n"
        "\n"
        "       More info: "
        "https://devcenter.heroku.com/articles/buildpacks#buildpack-auto-detection");
  CHECK(not_compatible("x", "").size() == 3);
}

TEST_CASE("transcript: nothing detected, several detected, too large, too slow") {
  CHECK(
      join(no_default_language(), "\n") ==
      " !     No default language could be detected for this app.\n"
      "\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application "
      "automatically.\n"
      "\t\t\tSee https://devcenter.heroku.com/articles/buildpacks");
  CHECK(join(several_languages({"Ruby", "Node.js"}), "\n") ==
        " !     Warning: Multiple default buildpacks reported the ability to handle this app. The "
        "first buildpack in the list below will be used.\n"
        "\t\t\tDetected buildpacks: Ruby,Node.js\n"
        "\t\t\tSee https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order");
  CHECK(slug_too_large(540'226'355, 500ULL << 20) ==
        std::vector<std::string>{"Compiled slug size: 515.2M is too large (max is 500M).",
                                 "See: http://devcenter.heroku.com/articles/slug-size"});
  CHECK(compile_timed_out("Ruby", 15)[0] == "Timed out compiling Ruby app (15 minutes)");
}

TEST_CASE("transcript: process types (OUT-5)") {
  CHECK(process_type_lines({{"web", ""}}, {}) ==
        std::vector<std::string>{"       Procfile declares types -> web"});
  CHECK(process_type_lines({{"web", "x"}}, {{"web", "y"}}).size() == 1);
  CHECK(process_type_lines({}, {}) ==
        std::vector<std::string>{"       Procfile declares types -> (none)"});
  CHECK(process_type_lines({}, {{"web", "x"}}) ==
        std::vector<std::string>{"       Procfile declares types     -> (none)",
                                 "       Default types for buildpack -> web"});
}

TEST_CASE("transcript: with explain each step tells why it ran") {
  Paper paper;
  const auto view = make_view("heroku", paper.fd(), true);
  view->on_event(StepFinished{1, "a", StepFinished::Outcome::cached});
  view->on_event(
      StepFinished{2, "b", StepFinished::Outcome::ran, std::chrono::seconds(2), "x changed"});
  CHECK(paper.text() ==
        "       [1] a: cached\n       [2] b: 2.0 s\n           ran because x changed\n");
}
