// Directives, comments, continuations (dockerfile.md P2-P18).
#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

char escape_of(const std::string& text) {
  return parse(text, "Dockerfile").directives.escape;
}
std::string run_text(const std::string& text) {
  return only<Run>(text).command.words.at(0);
}

}  // namespace

TEST_CASE("parse lines: the escape directive (P5, P8, catalogue 1)") {
  const Dockerfile file =
      parse("# escape=`\nFROM a\nRUN x `\n  y\\\nCMD \"c`\"d\"\n", "Dockerfile");
  CHECK(file.directives.escape == '`');
  REQUIRE(file.stages[0].body.size() == 2);
  CHECK(std::get<Run>(file.stages[0].body[0].kind).command.words[0] == "x   y\\");
  CHECK(escape_of("#escape=`\nFROM a\n") == '`');
  CHECK(escape_of("  # EsCaPe \t= `  \nFROM a\n") == '`');
  CHECK(escape_of("# escape=\\\nFROM a\n") == '\\');
  CHECK(parse_error("# escape=x\nFROM a\n") ==
        "4 | Dockerfile:1:10: the escape character is \\ or `, not 'x' | write '# escape=\\' or '# "
        "escape=`'");
}

TEST_CASE("parse lines: what closes the zone of directives (P6, catalogue 1, 2)") {
  CHECK(escape_of("\n# escape=`\nFROM a\n") == '\\');
  CHECK(escape_of("# a comment\n# escape=`\nFROM a\n") == '\\');
  CHECK(escape_of("# syntax=x\n# foo=bar\n# escape=`\nFROM a\n") == '\\');
  CHECK(escape_of("# syntax=x\n# escape=`\nFROM a\n") == '`');
  CHECK(escape_of("# escape=\n# escape=`\nFROM a\n") == '\\');
  CHECK(escape_of("FROM a\n# escape=`\n") == '\\');
  CHECK(escape_of("#!/bin/x\n# escape=`\nFROM a\n") == '\\');
}

TEST_CASE("parse lines: a directive twice is an error (P7, catalogue 3)") {
  CHECK(parse_error("# escape=`\n# escape=`\nFROM a\n") ==
        "4 | Dockerfile:2:3: the directive 'escape' is given twice | keep one of the two");
  CHECK(parse_error("# syntax=a\n# check=skip=all\n#  Syntax=b\nFROM a\n") ==
        "4 | Dockerfile:3:4: the directive 'syntax' is given twice | keep one of the two");
  CHECK(parse_error("# escape=`\n\n# escape=`\nFROM a\n") == "no error");
}

TEST_CASE("parse lines: syntax and check are kept as written (P9, P10)") {
  const auto syntax = [](const std::string& text) {
    return parse(text, "Dockerfile").directives.syntax;
  };
  CHECK(syntax("# syntax = docker/dockerfile:1  cmd \nFROM a\n") == "docker/dockerfile:1  cmd");
  CHECK(syntax("#!/usr/bin/env x\n# syntax=a\nFROM a\n") == "a");
  CHECK(syntax("FROM a\n").empty());
  CHECK(parse("# check=skip=all;error=true\nFROM a\n", "f").directives.check ==
        "skip=all;error=true");
}

TEST_CASE("parse lines: a file in another language says so (P9)") {
  CHECK(parse_error("// syntax=other/lang\n{}\n") ==
        "4 | Dockerfile:1:1: unknown instruction '//' | the file asks for another language, "
        "'other/lang'; only Dockerfiles are known");
  CHECK(parse_error("{\"syntax\": \"other/lang\",\n\"x\": [1]}") ==
        "4 | Dockerfile:1:1: unknown instruction '{\"syntax\":' | the file asks for another "
        "language, "
        "'other/lang'; only Dockerfiles are known");
}

TEST_CASE("parse lines: byte order mark and CRLF (P3, catalogue 4)") {
  CHECK(at(parse("\xef\xbb\xbf"
                 "FROM a\n",
                 "f")
               .stages[0]
               .from.image) == "a@1:6");
  CHECK(escape_of("\xef\xbb\xbf# escape=`\nFROM a\n") == '`');
  const std::string lf = "FROM a\nRUN x \\\n# c\n\n y\nCOPY <<E /f\nb\r\nE\nCMD [\"a\"]\n";
  std::string crlf;
  for (const char c : lf) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  const auto left = parse(lf, "f").stages[0].body;
  const auto right = parse(crlf, "f").stages[0].body;
  REQUIRE(left.size() == 3);
  REQUIRE(right.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(left[i].text == right[i].text);
    CHECK(left[i].lines.last == right[i].lines.last);
  }
  CHECK(std::get<Cmd>(right[2].kind).command.exec_form);
}

TEST_CASE("parse lines: UTF-16 and NUL bytes are told apart") {
  CHECK(parse_error(std::string("\xff\xfe"
                                "F\0R\0",
                                6)) == "4 | Dockerfile:1:1: the file is UTF-16 | save it as UTF-8");
  CHECK(parse_error(std::string("FROM a\nRUN a\0b\n", 15)) ==
        "4 | Dockerfile:2:6: NUL byte in a text file | save it as UTF-8 text");
}

TEST_CASE("parse lines: joined text gets no separator, blanks are kept (P12)") {
  CHECK(run_text("RUN hello\\\n  world") == "hello  world");
  CHECK(run_text("RUN good\\\nbye") == "goodbye");
  CHECK(run_text("  RUN a \\  \t\n b") == "a  b");
  CHECK(run_text("RUN\\\n a") == "a");
  CHECK(run_text("R\\\nUN a") == "a");
}

TEST_CASE("parse lines: what continues a line (P13, catalogue 6)") {
  CHECK(run_text("RUN a \\\n\\\n   \\\nb") == "a    b");
  CHECK(run_text("\\\nRUN a") == "a");
  CHECK(
      parse_error("FROM a\nRUN echo \\\\\n b\n") ==
      "4 | Dockerfile:3:2: unknown instruction 'b' | an instruction is one of ADD, ARG, CMD, COPY, "
      "ENTRYPOINT, ENV, EXPOSE, FROM, HEALTHCHECK, LABEL, MAINTAINER, ONBUILD, RUN, SHELL, "
      "STOPSIGNAL, USER, VOLUME, WORKDIR; a line goes on below when it ends with '\\'");
  CHECK(body_of("RUN echo \\\\\\\nCMD x").size() == 2);
  CHECK(body_of("RUN echo \\\\ \\\n  x").size() == 1);
  CHECK(body_of("RUN echo a\\b\nCMD x").size() == 2);
}

TEST_CASE("parse lines: comments and blank lines inside a continuation (P14, catalogue 5)") {
  CHECK(run_text("RUN a \\\n\n \t\nb") == "a b");
  CHECK(findings_of("FROM a\nRUN a \\\n\n \t\n# c\nb\n") == Strings{"NoEmptyContinuation 3-4"});
  CHECK(run_text("RUN a \\\n   # comment \\\nb") == "a b");
  CHECK(findings_of("FROM a\nRUN a \\\n# c\nb\n").empty());
}

TEST_CASE("parse lines: a continuation at the end of the file ends there (P15)") {
  CHECK(run_text("RUN a \\") == "a");
  CHECK(run_text("RUN a \\\n") == "a");
  CHECK(run_text("RUN a \\\n\n# c\n") == "a");
  CHECK(error_in("\\") ==
        "1: a continued line without an instruction | an instruction is one of ADD, "
        "ARG, CMD, COPY, ENTRYPOINT, ENV, EXPOSE, FROM, HEALTHCHECK, LABEL, "
        "MAINTAINER, ONBUILD, RUN, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR; a line "
        "goes on below when it ends with '\\'");
}

TEST_CASE("parse lines: a # inside a line is data (P16)") {
  CHECK(run_text("RUN echo # not a comment") == "echo # not a comment");
  CHECK(run_text("RUN a \\\n b # c") == "a  b # c");
}

TEST_CASE("parse lines: names in any case, unknown ones with a hint (P18)") {
  CHECK(body_of("rUn a")[0].keyword == "rUn");
  CHECK(error_in("RNU a") == "1: unknown instruction 'RNU' | did you mean 'RUN'?");
  CHECK(error_in("entripoint a") ==
        "1: unknown instruction 'entripoint' | did you mean 'ENTRYPOINT'?");
  CHECK(error_in("  && make") ==
        "3: unknown instruction '&&' | if the line above goes on here, it must end with '\\'");
  CHECK(error_in("COPPY a b") == "1: unknown instruction 'COPPY' | did you mean 'COPY'?");
}

TEST_CASE("parse lines: files without a stage (P2)") {
  const std::string nothing =
      "4 | Dockerfile:1:1: the file has no instructions | it begins with 'FROM image'";
  CHECK(parse_error("") == nothing);
  CHECK(parse_error("\n \n# only\n  # comments\n") == nothing);
  CHECK(parse_error("# escape=`\n") == nothing);
  CHECK(
      parse_error("# c\nARG a=1\n") ==
      "4 | Dockerfile:2:1: no FROM follows: there is no stage to build | a stage begins with 'FROM "
      "image'");
}

TEST_CASE("parse lines: only ARG may stand before the first FROM (P32)") {
  CHECK(parse_error("ARG a\n run x\nFROM a\n") ==
        "4 | Dockerfile:2:2: run stands before the first FROM | only ARG may; a stage begins with "
        "'FROM image'");
}

TEST_CASE("parse lines: an error shows its lines with the place marked") {
  const auto hint = [](const std::string& text) {
    try {
      parse(text, "Dockerfile");
    } catch (const Error& error) {
      return error.hint();
    }
    return std::string();
  };
  CHECK(hint("FROM a\nRUN x\n\n\tRNU y\nCMD z\nCMD w\n") ==
        "did you mean 'RUN'?\n"
        "    2 | RUN x\n"
        "    3 |\n"
        "    4 |  RNU y\n"
        "      |  ^\n"
        "    5 | CMD z");
  CHECK(hint("ENV a=1\n") ==
        "only ARG may; a stage begins with 'FROM image'\n"
        "    1 | ENV a=1\n"
        "      | ^");
  SECTION("columns count bytes, the mark counts characters") {
    CHECK(parse_error("FROM a\nENV \xc3\xa4=\xe2\x82\xac b\n").rfind("4 | Dockerfile:2:12:", 0) ==
          0);
    CHECK(hint("FROM a\nENV \xc3\xa4=\xe2\x82\xac b\n")
              .ends_with("    2 | ENV \xc3\xa4=\xe2\x82\xac b\n"
                         "      |         ^"));
  }
  SECTION("of a long line a part is shown; control characters are made harmless") {
    const std::string shown = hint("FROM a\nENV x=" + std::string(5000, 'y') + " \x1b[31mb " +
                                   std::string(5000, 'z') + "\n");
    CHECK(shown.size() < 400);
    CHECK(shown.find("... yy") == std::string::npos);
    CHECK(shown.find("    2 | ...yyy") != std::string::npos);
    CHECK(shown.find("y ?[31mb z") != std::string::npos);
    CHECK(shown.find("zzz...") != std::string::npos);
    CHECK(shown.find('\x1b') == std::string::npos);
    CHECK(shown.ends_with("\n      | " + std::string(63, ' ') + "^"));
  }
}

TEST_CASE("parse lines: what compile() finds is shown the same way") {
  const Dockerfile file = parse("FROM a\nUSER $x\n", "sub/Dockerfile");
  const Error error = error_at(file, 2, 6, "x is not set", "declare it");
  CHECK(error.code() == ExitCode::app_files);
  CHECK(std::string(error.what()) == "sub/Dockerfile:2:6: x is not set");
  CHECK(error.hint() == "declare it\n    1 | FROM a\n    2 | USER $x\n      |      ^");
  CHECK(error_at(file, 2, 0, "x", "").hint() ==
        "line 2 is this:\n    1 | FROM a\n    2 | USER $x\n      | ^^^^^^^");
}
