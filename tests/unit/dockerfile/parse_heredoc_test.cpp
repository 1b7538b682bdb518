// Heredocs as the parser reads them (dockerfile.md H1-H10).
#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

/// "name[-][!]:content" — '-' chomps, '!' does not expand.
Strings heredocs(const std::vector<Heredoc>& all) {
  Strings shown;
  for (const Heredoc& one : all)
    shown.push_back(one.name + (one.chomp ? "-" : "") + (one.expand ? "" : "!") + ":" +
                    one.content);
  return shown;
}
Strings run_heredocs(const std::string& text) {
  return heredocs(only<Run>(text).heredocs);
}

}  // namespace

TEST_CASE("parse heredoc: RUN with nothing but a heredoc (H7, H8)") {
  const Run run = only<Run>("RUN <<EOF\n#!/bin/sh\necho $a \\\n  b\nEOF\n");
  CHECK(run.sole_heredoc);
  CHECK(heredocs(run.heredocs) == Strings{"EOF:#!/bin/sh\necho $a \\\n  b\n"});
  CHECK(run.heredocs[0].line == 3);
  CHECK(run.command.words == Strings{"<<EOF"});
  CHECK(only<Run>("RUN --network=none 3<<-'E F'\nx\nE F").sole_heredoc);
  CHECK(only<Run>("RUN << EOF\nx\nEOF").sole_heredoc);
  CHECK_FALSE(only<Run>("RUN <<EOF cat\nx\nEOF").sole_heredoc);
  CHECK_FALSE(only<Run>("RUN cat <<EOF\nx\nEOF").sole_heredoc);
  CHECK_FALSE(only<Run>("RUN <<A <<B\nx\nA\ny\nB").sole_heredoc);
  CHECK_FALSE(only<Run>("RUN x").sole_heredoc);
}

TEST_CASE("parse heredoc: several on one line (H5, H9, catalogue 14, 20)") {
  const auto body = body_of(
      "RUN cat <<E && cat <<-'F' >x\na\nE\n\tb\n\tF\nRUN <<EOF 3<<IN1 4<<IN2 "
      "awk\n1\nEOF\n2\nIN1\n3\nIN2\nCMD x");
  REQUIRE(body.size() == 3);
  const Run& first = std::get<Run>(body[0].kind);
  CHECK(heredocs(first.heredocs) == Strings{"E:a\n", "F-!:\tb\n"});
  CHECK(first.command.words[0] == "cat <<E && cat <<-'F' >x");
  CHECK(body[0].lines.last == 6);
  CHECK(heredocs(std::get<Run>(body[1].kind).heredocs) == Strings{"EOF:1\n", "IN1:2\n", "IN2:3\n"});
  CHECK(body[1].lines.first == 7);
  CHECK(body[2].lines.first == 14);
}

TEST_CASE("parse heredoc: where there is none (H1, H2, catalogue 15, 16)") {
  CHECK(run_heredocs("RUN echo $((1<<2))").empty());
  CHECK(run_heredocs("RUN cat <<<x").empty());
  CHECK(run_heredocs("RUN echo \"<<x\" '<<y' \\<<z").empty());
  CHECK(run_heredocs("RUN a<<b").empty());
  CHECK(run_heredocs("RUN [\"sh\",\"<<E\"]").empty());
  CHECK(only<User>("USER <<X").name.text == "<<X");
  CHECK(only<Env>("ENV x=<<E").pairs[0].second.text == "<<E");
  CHECK(only<Cmd>("CMD cat <<E").command.words[0] == "cat <<E");
  CHECK(run_heredocs("RUN cat <<").empty());
  CHECK(run_heredocs("RUN cat <<''").empty());
}

TEST_CASE("parse heredoc: quoting the name stops expansion (H4)") {
  CHECK(run_heredocs("RUN cat <<'EOF'\nEOF") == Strings{"EOF!:"});
  CHECK(run_heredocs("RUN cat <<\"EOF\"\nEOF") == Strings{"EOF!:"});
  CHECK(run_heredocs("RUN cat <<eo'f'\neof") == Strings{"eof!:"});
  CHECK(run_heredocs("RUN cat <<'one two'\none two") == Strings{"one two!:"});
  CHECK(run_heredocs("RUN cat <<E\\'F\nE'F") == Strings{"E'F:"});
  CHECK(run_heredocs("RUN cat <<$EOF\n$EOF") == Strings{"$EOF:"});
  CHECK(run_heredocs("RUN cat <<\"a\\nb\"\na\\nb") == Strings{"a\\nb!:"});
}

TEST_CASE("parse heredoc: terminators (H3, H5, catalogue 13, 16)") {
  CHECK(run_heredocs("RUN <<E\nfoo\nE \nE\n") == Strings{"E:foo\nE \n"});
  CHECK(run_heredocs("RUN x <<E;echo\nE\nE;echo\n") == Strings{"E;echo:E\n"});
  CHECK(run_heredocs("RUN x <<E>y\nE\nE>y\n") == Strings{"E>y:E\n"});
  CHECK(run_heredocs("RUN <<E\nno newline at the end\nE") == Strings{"E:no newline at the end\n"});
  CHECK(run_heredocs("RUN <<-E\n\ta\n\t\tE\n") == Strings{"E-:\ta\n"});
  CHECK(run_heredocs("RUN <<E\na\r\nE\r\n") == Strings{"E:a\r\n"});
  CHECK(run_heredocs("RUN <<E\n# no comment\n\nE") == Strings{"E:# no comment\n\n"});
}

TEST_CASE("parse heredoc: COPY and ADD take them as files (H10, catalogue 17)") {
  const Copy copy = only<Copy>("COPY <<X a <<Y /dest\nY\nX\nX\nY\n");
  CHECK(heredocs(copy.heredocs) == Strings{"X:Y\n", "Y:X\n"});
  CHECK(texts(copy.sources) == Strings{"a"});
  CHECK(copy.dest.text == "/dest");
  const Copy quoted = only<Copy>("ADD --chmod=755 <<'one two' /f\nx\none two\n");
  CHECK(heredocs(quoted.heredocs) == Strings{"one two!:x\n"});
  CHECK(quoted.sources.empty());
  CHECK(heredocs(only<Copy>("COPY << EOF /f\nx\nEOF").heredocs) == Strings{"EOF:x\n"});
  CHECK(error_in("COPY a <<EOF\nx\nEOF") ==
        "8: COPY has a heredoc as destination | name the file it becomes: 'COPY <<EOF /etc/motd'");
  CHECK(error_in("COPY <<EOF\nx\nEOF").rfind("6: COPY has a heredoc as destination", 0) == 0);
  CHECK(
      error_in("COPY it's <<EOF /f\nx\nEOF") ==
      "11: this is taken for no heredoc, because the line cannot be read | the single quote is not "
      "closed");
}

TEST_CASE("parse heredoc: in ONBUILD (H1, P31, catalogue 22)") {
  CHECK(only<OnBuild>("ONBUILD RUN <<EOF cat\n\ta\nEOF\n").text == "RUN <<EOF cat\n\ta\nEOF");
  CHECK(only<OnBuild>("ONBUILD COPY <<A <<B /\n1\nA\n2\nB\n").text == "COPY <<A <<B /\n1\nA\n2\nB");
  CHECK(only<OnBuild>("ONBUILD RUN [\"<<X\"]").text == "RUN [\"<<X\"]");
}

TEST_CASE("parse heredoc: one without an end says what would end it (H2, H3)") {
  CHECK(error_in("RUN cat <<EOF\nx\n") ==
        "9: the heredoc 'EOF' has no end | a line that is exactly 'EOF' ends it");
  CHECK(error_in("RUN echo 1 << 2") ==
        "12: the heredoc '2' has no end | '<<' opens a heredoc here, which a line '2' would end; a "
        "shift is written without blanks, $((1<<2))");
  CHECK(error_in("RUN cat <<EOF;echo x\na\nEOF\n") ==
        "9: the heredoc 'EOF;echo' has no end | the terminator is the whole word 'EOF;echo'; put a "
        "blank behind the name ('<<EOF ;echo') and line 4 ends it");
  CHECK(error_in("RUN cat <<EOF|sh\na\nEOF\n")
            .rfind("9: the heredoc 'EOF|sh' has no end | the terminator is the whole word", 0) ==
        0);
  CHECK(error_in("RUN cat <<EOF>f\na\nEOF\n")
            .rfind("9: the heredoc 'EOF>f' has no end | the terminator is the whole word", 0) == 0);
  CHECK(error_in("RUN <<EOF\na\nEOF \nCMD x") ==
        "5: the heredoc 'EOF' has no end | line 4 is 'EOF' with blanks behind it; they must go");
  CHECK(error_in("RUN <<EOF\na\n  EOF\n") ==
        "5: the heredoc 'EOF' has no end | line 4 is 'EOF' with blanks before it; remove them, or "
        "write '<<-' and indent with tabs alone");
  CHECK(error_in("RUN a \\\n && cat <<A <<B\nx\nA\ny\n").rfind("Dockerfile", 0) ==
        std::string::npos);
}

TEST_CASE(
    "parse heredoc: a line the lexer cannot take apart has none, and the next error says so") {
  // As in BuildKit: bash arrays hide the heredoc behind them.
  CHECK(error_in("RUN echo ${a[0]} <<EOF\nx\nEOF")
            .rfind("4 | Dockerfile:3:1: unknown instruction 'x' | line 2 has '<<', but opens no "
                   "heredoc: '[' is no modifier of a variable",
                   0) == 0);
  CHECK(body_of("RUN echo it's <<EOF\nCMD x").size() == 2);
  CHECK(run_heredocs("RUN echo ${a:-it\\'s} $((1 + 2)) <<EOF\nx\nEOF") == Strings{"EOF:x\n"});
}
