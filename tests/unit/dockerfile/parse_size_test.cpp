// Large and hostile files: linear time, bounded depth (threat 7).
#include <chrono>

#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

double seconds_for(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string repeat(const std::string& part, size_t size) {
  std::string text;
  while (text.size() < size) text += part;
  return text;
}

constexpr size_t ten_megabytes = 10 << 20;

}  // namespace

TEST_CASE("parse size: 10 MB in every shape are read in a moment") {
  const std::vector<std::pair<const char*, std::string>> shapes = {
      {"comments",
       "FROM a\n" + repeat("# a comment of some length, as there are many\n", ten_megabytes)},
      {"steps", "FROM a\n" + repeat("RUN --mount=type=cache,target=/c make -C " +
                                        std::string(200, 'x') + "\n",
                                    ten_megabytes)},
      {"one continued line", "FROM a\nRUN " + repeat("a \\\n", ten_megabytes)},
      {"blank continuations", "FROM a\nRUN a \\\n" + repeat("\n", ten_megabytes)},
      {"one long line", "FROM a\nRUN " + std::string(ten_megabytes, 'x')},
      {"a heredoc", "FROM a\nCOPY <<EOF /f\n" + repeat("line of text\n", ten_megabytes) + "EOF\n"},
      {"variables",
       "FROM a\nENV " + repeat("name=\"" + std::string(200, 'v') + " w\" ", ten_megabytes)},
      {"JSON",
       "FROM a\nCMD [" + repeat("\"" + std::string(200, 'w') + "\", ", ten_megabytes) + "\"\"]\n"},
      {"blanks", "FROM a\nCOPY " + repeat("a" + std::string(200, ' '), ten_megabytes) + "\n"},
      {"flags", "FROM a\nCOPY " + repeat("--exclude='a b' ", ten_megabytes / 4) + " a b\n"},
  };
  for (const auto& [name, text] : shapes) {
    INFO(name);
    size_t stages = 0;
    CHECK(seconds_for([&, &file = text] { stages = parse(file, "Dockerfile").stages.size(); }) < 5);
    CHECK(stages == 1);
  }
}

TEST_CASE("parse size: a thousand stages") {
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += fmt::format("FROM {} AS s{}\nRUN make\nCOPY --from=s{} /a /b\n",
                        i == 0 ? "debian:12" : fmt::format("s{}", i - 1), i, i / 2);
  CHECK(seconds_for([&] { CHECK(parse(text, "Dockerfile").stages.size() == 1000); }) < 1);
}

TEST_CASE("parse size: more instructions than any image has are refused early") {
  const std::string text = "FROM a\n" + repeat("RUN x\n", ten_megabytes);
  std::string error;
  CHECK(seconds_for([&] { error = parse_error(text); }) < 5);
  CHECK(error ==
        "4 | Dockerfile:100001:1: more than 100000 instructions | no image can be built of so many "
        "steps");
}

TEST_CASE("parse size: an error in the last of a million lines is found and shown") {
  const std::string text = "FROM a\n" + repeat("#\n", 2'000'000) + "RNU x";
  std::string error;
  CHECK(seconds_for([&] { error = parse_error(text); }) < 5);
  CHECK(error == "4 | Dockerfile:1000002:1: unknown instruction 'RNU' | did you mean 'RUN'?");
}

TEST_CASE("parse size: an unknown instruction of a megabyte is answered with a short hint") {
  try {
    parse("FROM a\n" + std::string(1 << 20, 'R') + "\n", "Dockerfile");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.cause().size() < 200);
    CHECK(error.hint().size() < 1000);
  }
}

TEST_CASE("parse size: JSON nested a million deep is the shell form, no crash") {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  CHECK_FALSE(only<Cmd>("CMD " + deep).command.exec_form);
  CHECK_FALSE(only<Cmd>("CMD " + repeat("{\"a\":[", 1'000'000)).command.exec_form);
}

TEST_CASE("parse size: words nested a million deep inside a heredoc's line") {
  CHECK(only<Run>("RUN " + repeat("${a:-", 1'000'000) + " <<E").heredocs.empty());
  CHECK(only<Run>("RUN " + repeat("\"${a:-", 1'000'000) + " <<E").heredocs.empty());
}

TEST_CASE("parse size: many heredocs on one line") {
  std::string text = "RUN cat";
  std::string bodies;
  for (int i = 0; i < 20'000; ++i) {
    text += fmt::format(" <<E{}", i);
    bodies += fmt::format("{}\nE{}\n", i, i);
  }
  CHECK(seconds_for([&] { CHECK(only<Run>(text + "\n" + bodies).heredocs.size() == 20'000); }) < 5);
  std::string copy = "COPY";
  for (int i = 0; i < 20'000; ++i) copy += " <<E";
  CHECK(seconds_for([&] {
          CHECK(only<Copy>(copy + " /d\n" + repeat("E\n", 40'000)).heredocs.size() == 20'000);
        }) < 5);
}

TEST_CASE("parse size: more operands than a program can have are refused") {
  for (const char* start : {"COPY ", "ENV ", "ARG ", "EXPOSE ", "VOLUME ", "FROM "}) {
    CAPTURE(start);
    const std::string error = error_in(start + repeat("a=b ", 500'000));
    CHECK(error == fmt::format("{}: more than 100000 operands | several instructions, or a folder "
                               "instead of its files, do the same",
                               std::string(start).size() + 1));
  }
  for (const char* start : {"CMD [", "COPY [", "RUN [", "SHELL ["})
    CHECK(error_in(start + repeat("\"a\",", 500'000) + "\"\"]").find("more than 100000 operands") !=
          std::string::npos);
  CHECK(
      parse_error(std::string(65 << 20, '#')) ==
      "4 | Dockerfile: larger than 64M | files belong into the context, and are copied from there "
      "with COPY");
}
