#include "source/procfile.h"

#include <random>
#include <regex>

#include "helpers.h"

using namespace slipway;
using namespace slipway::source;

namespace {

std::vector<std::string> warnings_of(const Procfile& procfile) {
  std::vector<std::string> texts;
  for (const Warning& warning : procfile.warnings) texts.push_back(warning.to_string());
  return texts;
}

}  // namespace

TEST_CASE("procfile: plain entries, comments and blank lines") {
  const Procfile file = parse_procfile(
      "# what runs\n\nweb: bundle exec puma -p $PORT\nworker:\trake jobs:work\n"
      "release_task-2: ./migrate && echo done # not a comment\n");
  CHECK(file.types == ProcessTypes{{"web", "bundle exec puma -p $PORT"},
                                   {"worker", "rake jobs:work"},
                                   {"release_task-2", "./migrate && echo done # not a comment"}});
  CHECK(file.lines.at("worker") == 4);
  CHECK(file.warnings.empty());
}

TEST_CASE("procfile: the colon is optional, the blank after it is not (PROC-2)") {
  CHECK(parse_procfile("web:cmd\n").types.empty());
  CHECK(parse_procfile("web cmd x\n").types == ProcessTypes{{"web", "cmd x"}});
  CHECK(parse_procfile("  web: x\n").types == ProcessTypes{{"web", "x"}});
  CHECK(parse_procfile("web : x\n").types == ProcessTypes{{"web", ": x"}});
  CHECK(parse_procfile("web:: x\n").types.empty());
  CHECK(parse_procfile("heroku ps:scale web=1\n").types ==
        ProcessTypes{{"heroku", "ps:scale web=1"}});
  CHECK(parse_procfile("web\nworker:").types == ProcessTypes{{"web", ""}, {"worker", ""}});
  CHECK(parse_procfile("we.b: x\n<<<<<<< HEAD\n").types.empty());
}

TEST_CASE("procfile: the command is untouched, trailing blanks included (REL-4)") {
  CHECK(parse_procfile("web:   a  b \t\n").types.at("web") == "a  b \t");
}

TEST_CASE("procfile: last wins, CRLF and byte order mark are forgiven (PROC-3)") {
  const Procfile file = parse_procfile("\xef\xbb\xbfweb: a\r\nweb: b\r\n");
  CHECK(file.types == ProcessTypes{{"web", "b"}});
  CHECK(warnings_of(file) ==
        std::vector<std::string>{"Procfile:1:1: byte order mark dropped; save the file without one",
                                 "Procfile:2:1: 'web' stands on line 1 too; this one wins"});
}

TEST_CASE("procfile: surprises are told with their place") {
  CHECK(warnings_of(parse_procfile("a: b\nweb:cmd -p 1\n")) ==
        std::vector<std::string>{"Procfile:2:5: no blank after 'web:', so the line is ignored; "
                                 "write 'web: cmd -p 1'"});
  CHECK(warnings_of(parse_procfile("web cmd\n")) ==
        std::vector<std::string>{
            "Procfile:1:4: no colon after 'web', taken as a process type all the same"});
  CHECK(warnings_of(parse_procfile("web : cmd\n")) ==
        std::vector<std::string>{
            "Procfile:1:4: blank before the colon, so the command of 'web' is ': cmd'"});
  CHECK(warnings_of(parse_procfile("web:\n")) ==
        std::vector<std::string>{"Procfile:1:1: 'web' has an empty command"});
  CHECK(warnings_of(parse_procfile("======= x\n")) ==
        std::vector<std::string>{"Procfile:1:1: conflict marker of a merge, ignored"});
}

TEST_CASE("procfile: binary text is an error with its place") {
  CHECK(error_of([] { parse_procfile(std::string("web: a\nw\0rk: b\n", 15)); }) ==
        "4 | Procfile:2:2: NUL byte in a text file | save it as UTF-8 text");
  CHECK(error_of([] { parse_procfile(std::string("\xff\xfew\0e\0", 6)); }) ==
        "4 | Procfile:1:1: the file is UTF-16 | save it as UTF-8");
}

TEST_CASE("procfile: agrees with the platform's regular expression on random lines") {
  // The line's newline is the blank a bare "web" needs.
  const std::regex rule("^[ \\t\\n\\v\\f\\r]*([a-zA-Z0-9_-]+):?[ \\t\\n\\v\\f\\r]+([^\\n]*)[^]*$");
  std::mt19937 random(7);
  const std::string signs = "aZ9_-: \t#x:  ";
  for (int round = 0; round < 20'000; ++round) {
    std::string line;
    for (size_t size = random() % 9; size > 0; --size) line += signs[random() % signs.size()];
    std::smatch match;
    const std::string whole = line + "\n";
    ProcessTypes expected;
    if (std::regex_match(whole, match, rule)) expected[match[1]] = match[2];
    INFO("line: '" << line << "'");
    REQUIRE(parse_procfile(whole).types == expected);
  }
}

TEST_CASE("process types: defaults are overlaid by the Procfile (PROC-4)") {
  CHECK(merge_process_types({{"web", "default"}, {"console", "irb"}}, {{"web", "mine"}}) ==
        ProcessTypes{{"console", "irb"}, {"web", "mine"}});
  CHECK(merge_process_types({}, {}).empty());
}
