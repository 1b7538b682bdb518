// Each instruction as it is written: operands, forms, flags (dockerfile.md P19-P31).
#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;

TEST_CASE("parse: stages, their names and positions (P30)") {
  const Dockerfile file = parse(
      "ARG V=1\n"
      "from --platform=$BUILDPLATFORM golang:$V as Build.x-1_2\n"
      "RUN make\n"
      "\n"
      "  FROM scratch\n"
      "COPY --from=build /a /b\n",
      "Dockerfile");
  REQUIRE(file.global_args.size() == 1);
  REQUIRE(file.stages.size() == 2);
  const Stage& first = file.stages[0];
  CHECK(first.name == "build.x-1_2");
  CHECK(first.from.name == "build.x-1_2");
  CHECK(first.from.name_written == "Build.x-1_2");
  CHECK(at(first.from.image) == "golang:$V@2:32");
  CHECK(at(*first.from.platform) == "$BUILDPLATFORM@2:17");
  CHECK(first.instruction.keyword == "from");
  CHECK(first.instruction.lines.first == 2);
  CHECK(first.instruction.text == "from --platform=$BUILDPLATFORM golang:$V as Build.x-1_2");
  REQUIRE(first.body.size() == 1);
  CHECK(first.body[0].keyword == "RUN");
  CHECK(first.body[0].lines.first == 3);
  CHECK(file.stages[1].name.empty());
  CHECK(file.stages[1].instruction.column == 3);
  CHECK(at(file.stages[1].from.image) == "scratch@5:8");
  REQUIRE(file.stages[1].body.size() == 1);
}

TEST_CASE("parse: comments above an instruction attach to it (P17)") {
  const Dockerfile file = parse(
      "# syntax=docker/dockerfile:1\n"
      "# base the first stage\n"
      "\n"
      "# more\n"
      "  # indented\n"
      "FROM a AS base\n"
      "# dropped\n"
      "#\n"
      "# kept\n"
      "ARG x\n"
      "RUN a \\\n"
      "# inside\n"
      "b\n"
      "CMD c\n",
      "Dockerfile");
  CHECK(file.stages[0].instruction.comments ==
        Strings{"base the first stage", "more", "# indented"});
  CHECK(file.stages[0].body[0].comments == Strings{"kept"});
  CHECK(file.stages[0].body[1].comments.empty());
  CHECK(file.stages[0].body[2].comments.empty());
}

TEST_CASE("parse: RUN in shell and exec form (P23, P24)") {
  CHECK(only<Run>("RUN  echo  a \n").command.words == Strings{"echo  a"});
  CHECK_FALSE(only<Run>("RUN echo a").command.exec_form);
  const Run exec = only<Run>("run [ \"a\", \"b c\", \"\\u0041\\/\\n\\\"\" ] ");
  CHECK(exec.command.exec_form);
  CHECK(exec.command.words == Strings{"a", "b c", "A/\n\""});
}

TEST_CASE("parse: what is no JSON is the shell form (P23, catalogue 8, 9)") {
  const auto shell_text = [](const std::string& line) {
    const Cmd cmd = only<Cmd>("CMD " + line);
    CHECK_FALSE(cmd.command.exec_form);
    return cmd.command.words.at(0);
  };
  CHECK(shell_text("[\"a\", 'b']") == "[\"a\", 'b']");
  CHECK(shell_text("[\"a\"] # c") == "[\"a\"] # c");
  CHECK(shell_text("[\"a\"") == "[\"a\"");
  CHECK(shell_text("[\"a\",]") == "[\"a\",]");
  CHECK(shell_text("[\"a") == "[\"a");
  CHECK(shell_text("[\"\\x\"]") == "[\"\\x\"]");
  CHECK(shell_text("[\"\\u12\"]") == "[\"\\u12\"]");
  CHECK(shell_text("[1, 01]") == "[1, 01]");
  CHECK(shell_text("[{\"a\"}]") == "[{\"a\"}]");
  CHECK(shell_text("[[\"a\"], {\"b\": [}]") == "[[\"a\"], {\"b\": [}]");
  CHECK(shell_text("\"[\"a\"]\"") == "\"[\"a\"]\"");
  CHECK(only<Run>("RUN [\"echo\",\"hello\"]this is invalid").command.words ==
        Strings{"[\"echo\",\"hello\"]this is invalid"});
  CHECK(only<Entrypoint>("ENTRYPOINT []random string").command.words == Strings{"[]random string"});
}

TEST_CASE("parse: JSON strings decode as Go does it") {
  const auto decoded = [](const std::string& array) {
    const Cmd cmd = only<Cmd>("CMD " + array);
    CHECK(cmd.command.exec_form);
    return cmd.command.words;
  };
  CHECK(decoded("[\"\\ud83d\\ude00\"]") == Strings{"\xf0\x9f\x98\x80"});
  CHECK(decoded("[\"\\ud83d\"]") == Strings{"\xef\xbf\xbd"});
  CHECK(decoded("[\"\\ud83d\\u0041\"]") == Strings{"\xef\xbf\xbd"
                                                   "A"});
  CHECK(decoded("[\"\xff\"]") == Strings{"\xef\xbf\xbd"});
  CHECK(decoded("[\"\\b\\f\\r\\t\"]") == Strings{"\b\f\r\t"});
  CHECK(decoded("[\"\xc3\xa4\",\t\"\xe2\x82\xac\"]") == Strings{"\xc3\xa4", "\xe2\x82\xac"});
}

TEST_CASE("parse: a JSON array with another element than a string is an error (P23)") {
  CHECK(error_in("CMD [\"a\", 1]") ==
        "11: in JSON form every element is a string | write it in double quotes");
  CHECK(error_in("COPY [\"a\", {\"b\": [null, true]}, \"c\"]").rfind("12", 0) == 0);
  CHECK(error_in("ONBUILD RUN [[\"nested\"]]").rfind("14", 0) == 0);
  CHECK(error_in("HEALTHCHECK CMD [1.5e3]").rfind("18", 0) == 0);
  CHECK(error_in("SHELL [null]").rfind("8", 0) == 0);
}

TEST_CASE("parse: empty forms (P24)") {
  CHECK(only<Cmd>("CMD []").command.exec_form);
  CHECK(only<Cmd>("CMD []").command.words.empty());
  CHECK(only<Entrypoint>("ENTRYPOINT [ ]").command.words.empty());
  CHECK(only<Cmd>("CMD").command.words == Strings{""});
  CHECK(findings_of("FROM a\nCMD\nRUN\nENTRYPOINT  \n")[0] == "MissingCommand 2");
  CHECK(error_in("RUN []") == "5: RUN has an empty command | name the program: [\"/bin/true\"]");
}

TEST_CASE("parse: RUN's flags") {
  const Run run = only<Run>(
      "RUN --mount=type=cache,target=/c --network=none --mount='type=secret,id=a b' "
      "--security=insecure --device=nvidia.com/gpu=all --device=x,required make");
  REQUIRE(run.mounts.size() == 2);
  CHECK(at(run.mounts[0].spec) == "type=cache,target=/c@2:13");
  CHECK(run.mounts[1].spec.text == "type=secret,id=a b");
  CHECK(run.network == "none");
  CHECK(run.security == "insecure");
  CHECK(run.devices == Strings{"nvidia.com/gpu=all", "x,required"});
  CHECK(run.command.words == Strings{"make"});
  CHECK(only<Run>("RUN make").network.empty());
  CHECK(error_in("RUN --network=hots true") ==
        "15: '--network' is one of default, none, host, not 'hots' | did you mean "
        "'host'?");
  CHECK(error_in("RUN --security= true") ==
        "16: '--security' is one of sandbox, insecure, not '' | line 2 is this:");
}

TEST_CASE("parse: flags end at the first operand or at a lone -- (P19, catalogue 10, 11)") {
  CHECK(only<Run>("RUN make --network=none").network.empty());
  const Copy copy = only<Copy>("COPY -- --foo d");
  CHECK(texts(copy.sources) == Strings{"--foo"});
  CHECK(copy.dest.text == "d");
  CHECK(only<Cmd>("CMD --").command.words == Strings{""});
  CHECK(error_in("CMD --doit [ \"a\",\"b\" ]") ==
        "5: CMD has no flag '--doit' | CMD takes no flags");
}

TEST_CASE("parse: quotes and escapes in flags (P20)") {
  CHECK(only<Copy>("COPY --chown=\"a b\" x y").chown->text == "a b");
  CHECK(only<Copy>("COPY --chown='a\\'b' x y").chown->text == "a'b");
  CHECK(only<Copy>("COPY --chown=a\\ b x y").chown->text == "a b");
  CHECK(only<Copy>("COPY --chow\"n=1:2\" x y").chown->text == "1:2");
  CHECK(only<Copy>("COPY --chown=\xc3\xbc x y").chown->text == "\xc3\xbc");
  CHECK(only<Copy>("COPY --chown=\"$u\":\\$g x y").chown->text == "$u:$g");
}

TEST_CASE("parse: kinds of flags and their mistakes (P21)") {
  CHECK(only<Copy>("COPY --link a b").link);
  CHECK(only<Copy>("COPY --link=TRUE a b").link);
  CHECK_FALSE(only<Copy>("COPY --link=false a b").link);
  CHECK(error_in("COPY --link= a b") ==
        "6: '--link' is true or false, not '' | write '--link' or '--link=false'");
  CHECK(error_in("COPY --link=1 a b") ==
        "6: '--link' is true or false, not '1' | write '--link' or '--link=false'");
  CHECK(error_in("COPY --chown a b") ==
        "6: '--chown' has no value | the value follows an equals sign: '--chown=…'");
  CHECK(error_in("COPY --from=a --from=b c d") ==
        "15: '--from' is given twice | keep one of the two");
  CHECK(error_in("COPY --form=a c d") == "6: COPY has no flag '--form' | did you mean '--from'?");
  CHECK(error_in("COPY --FROM=a c d") == "6: COPY has no flag '--FROM' | did you mean '--from'?");
  CHECK(error_in("RUN --mont=type=cache,target=/c true") ==
        "5: RUN has no flag '--mont' | did you mean '--mount'?");
  CHECK(error_in("COPY --checksum=sha256:0 a b") ==
        "6: COPY has no flag '--checksum' | COPY takes --from, --chown, --chmod, "
        "--link, --parents, --exclude");
  CHECK(error_in("WORKDIR --x /a") == "9: WORKDIR has no flag '--x' | WORKDIR takes no flags");
}

TEST_CASE("parse: flags that other builders drop unseen are errors (P22)") {
  CHECK(error_in("ARG --x A=1") == "5: ARG has no flag '--x' | ARG takes no flags");
  CHECK(error_in("STOPSIGNAL --x 9").rfind("12:", 0) == 0);
  CHECK(error_in("HEALTHCHECK --interval=5s NONE").rfind("13:", 0) == 0);
}

TEST_CASE("parse: every flag of COPY and ADD") {
  const Copy copy = only<Copy>(
      "COPY --from=build --chown=1:2 --chmod=u+x --link --parents --exclude=*.a --exclude=b a b c");
  CHECK_FALSE(copy.add);
  CHECK(at(*copy.from) == "build@2:13");
  CHECK(copy.chown->text == "1:2");
  CHECK(copy.chmod->text == "u+x");
  CHECK(copy.link);
  CHECK(copy.parents);
  CHECK(copy.exclude == Strings{"*.a", "b"});
  CHECK(texts(copy.sources) == Strings{"a", "b"});
  CHECK(at(copy.dest) == "c@2:90");
  const Copy add = only<Copy>(
      "ADD --chown=1 --chmod=644 --link=true --keep-git-dir --checksum=sha256:00 --unpack=false "
      "--exclude=x http://h/f /d");
  CHECK(add.add);
  CHECK(add.keep_git_dir == true);
  CHECK(add.unpack == false);
  CHECK(add.checksum->text == "sha256:00");
  CHECK(add.exclude == Strings{"x"});
  CHECK_FALSE(only<Copy>("ADD a b").unpack.has_value());
  CHECK_FALSE(only<Copy>("ADD a b").keep_git_dir.has_value());
}

TEST_CASE("parse: COPY and VOLUME split at blanks alone, unless they are JSON (P25)") {
  CHECK(texts(only<Copy>("COPY \"a b\" /c").sources) == Strings{"\"a", "b\""});
  const Copy json = only<Copy>("COPY [\"a b\", \"$c\", \"d/\"]");
  CHECK(texts(json.sources) == Strings{"a b", "$c"});
  CHECK(at(json.sources[1]) == "$c@2:14");
  CHECK(json.dest.text == "d/");
  CHECK(texts(only<Volume>("VOLUME [\"/a\"] x").paths) == Strings{"[\"/a\"]", "x"});
  CHECK(texts(only<Volume>("VOLUME [\"/a\", \" /b \"]").paths) == Strings{"/a", "/b"});
  CHECK(texts(only<Volume>("VOLUME /a\t/b").paths) == Strings{"/a", "/b"});
  CHECK(error_in("VOLUME []") == "1: VOLUME names no path | write 'VOLUME /data'");
  CHECK(error_in("VOLUME [\"\"]") == "9: a volume's path is empty | write 'VOLUME /data'");
  CHECK(error_in("COPY a") == "1: COPY needs a source and a destination | 'a' is the only operand");
  CHECK(error_in("ADD") ==
        "1: ADD needs a source and a destination | the last operand is the "
        "destination");
  CHECK(error_in("COPY [\"a\"]").rfind("1:", 0) == 0);
}

TEST_CASE("parse: the rest of the line is one operand (P26)") {
  CHECK(at(only<Workdir>("WORKDIR   a  b ").path) == "a  b@2:11");
  CHECK(only<User>("USER a b").name.text == "a b");
  CHECK(only<StopSignal>("STOPSIGNAL SIGTERM").signal.text == "SIGTERM");
  CHECK(only<Maintainer>("MAINTAINER A B <a@b>").name == "A B <a@b>");
  CHECK(error_in("WORKDIR") ==
        "1: WORKDIR has no operand | WORKDIR is followed by a path: 'WORKDIR /app'");
  CHECK(error_in("USER  ").rfind("1: USER has no operand", 0) == 0);
  CHECK(error_in("STOPSIGNAL").rfind("1: STOPSIGNAL has no operand", 0) == 0);
  CHECK(error_in("MAINTAINER").rfind("1: MAINTAINER has no operand", 0) == 0);
}

TEST_CASE("parse: ENV and LABEL (P27, catalogue 12)") {
  const auto pairs = [](const KeyValues& values) {
    Strings all;
    for (const auto& [key, value] : values.pairs) all.push_back(key.text + "|" + value.text);
    return all;
  };
  CHECK(pairs(only<Env>("ENV a=b c='d e' f=\"g $h\" i=j\\ k")) ==
        Strings{"a|b", "c|'d e'", "f|\"g $h\"", "i|j\\ k"});
  CHECK(pairs(only<Label>("LABEL \"a b\"=c d=e=f g=")) == Strings{"\"a b\"|c", "d|e=f", "g|"});
  const Env env = only<Env>("ENV a=b c=d");
  CHECK_FALSE(env.legacy);
  CHECK(at(env.pairs[1].first) == "c@2:9");
  CHECK(at(env.pairs[1].second) == "d@2:11");

  const Env legacy = only<Env>("ENV a   b   c ");
  CHECK(legacy.legacy);
  CHECK(pairs(legacy) == Strings{"a|b   c"});
  CHECK(at(legacy.pairs[0].second) == "b   c@2:9");
  CHECK(pairs(only<Env>("ENV a b=c d")) == Strings{"a|b=c d"});
  CHECK(error_in("ENV a=b c") ==
        "9: 'c' has no equals sign | write key=value; a value with blanks stands in "
        "quotes: key=\"a b\"");
  CHECK(error_in("ENV a") == "5: 'a' has no value | write 'ENV a=value'");
  CHECK(error_in("LABEL") == "1: LABEL has no operands | write 'LABEL key=value'");
  CHECK(error_in("ENV =x") ==
        "5: a name is missing before '=' | no blanks may stand around the equals "
        "sign: 'key=value'");
  CHECK(error_in("ENV a = b") == "no error");
  CHECK(error_in("ENV a=b =c").rfind("9:", 0) == 0);
}

TEST_CASE("parse: ENV over several lines keeps positions, a doubled escape ends it (catalogue 7)") {
  const auto body =
      body_of("ENV a=1 \\\n    bc=2 \\\n# no\n\n  d=3\nENV C trailing\\\\backslash\\\\\nENV D e\n");
  REQUIRE(body.size() == 3);
  const Env& env = std::get<Env>(body[0].kind);
  CHECK(at(env.pairs[1].first) == "bc@3:5");
  CHECK(at(env.pairs[2].second) == "3@6:5");
  CHECK(body[0].lines.first == 2);
  CHECK(body[0].lines.last == 6);
  CHECK(std::get<Env>(body[1].kind).pairs[0].second.text == "trailing\\\\backslash\\\\");
}

TEST_CASE("parse: ARG (P28)") {
  const Arg arg = only<Arg>("ARG a3 a4=\"123 456\" a1= b=$c");
  REQUIRE(arg.args.size() == 4);
  CHECK(arg.args[0].name == "a3");
  CHECK_FALSE(arg.args[0].value.has_value());
  CHECK(at(*arg.args[1].value) == "\"123 456\"@2:11");
  CHECK(arg.args[2].value->text.empty());
  CHECK(arg.args[3].value->text == "$c");
  CHECK(error_in("ARG") == "1: ARG names no variable | write 'ARG NAME' or 'ARG NAME=default'");
  CHECK(error_in("ARG a =b").rfind("7: a name is missing before '='", 0) == 0);
}

TEST_CASE("parse: HEALTHCHECK (P29)") {
  CHECK(only<HealthCheck>("HEALTHCHECK none").none);
  const HealthCheck check = only<HealthCheck>(
      "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=300ms "
      "--retries=+03 cmd  curl -f x");
  CHECK_FALSE(check.none);
  CHECK(check.command.words == Strings{"curl -f x"});
  CHECK(check.interval == "1m30s");
  CHECK(check.timeout == "1.5s");
  CHECK(check.start_period == "0");
  CHECK(check.start_interval == "300ms");
  CHECK(check.retries == "3");
  CHECK(only<HealthCheck>("HEALTHCHECK --retries=0 CMD [\"a\", \"b\"]").retries == "0");
  CHECK(only<HealthCheck>("HEALTHCHECK CMD [\"a\", \"b\"]").command.words == Strings{"a", "b"});
  CHECK(error_in("HEALTHCHECK") ==
        "1: HEALTHCHECK has no operands | write 'HEALTHCHECK CMD command' or "
        "'HEALTHCHECK NONE'");
  CHECK(error_in("HEALTHCHECK curl x") ==
        "13: HEALTHCHECK knows CMD and NONE, not 'curl' | write 'HEALTHCHECK CMD "
        "command' or 'HEALTHCHECK NONE'");
  CHECK(error_in("HEALTHCHECK NONE x") ==
        "18: HEALTHCHECK NONE takes no operands | remove what follows");
  CHECK(error_in("HEALTHCHECK CMD").rfind("13: HEALTHCHECK CMD has no command", 0) == 0);
  CHECK(error_in("HEALTHCHECK CMD []").rfind("13:", 0) == 0);
  CHECK(error_in("HEALTHCHECK --interval=90 CMD x") ==
        "24: '--interval=90' is no duration | a duration is a number with its "
        "unit: 30s, 1m30s, 500ms");
  CHECK(error_in("HEALTHCHECK --timeout=999us CMD x") ==
        "23: '--timeout=999us' is less than 1ms | 0 means the default");
  CHECK(error_in("HEALTHCHECK --timeout=-1s CMD x").rfind("23:", 0) == 0);
  for (const char* wrong : {"-1", "x", "2147483648", "99999999999999999999", "1.5", "+"}) {
    CAPTURE(wrong);
    CHECK(error_in(fmt::format("HEALTHCHECK --retries={} CMD x", wrong)) ==
          fmt::format("23: '--retries={}' is no number from 0 to 2147483647 | write "
                      "'--retries=3'",
                      wrong));
  }
}

TEST_CASE("parse: durations as Go writes them") {
  CHECK(duration_ns("0") == 0);
  CHECK(duration_ns("1h2m3s4ms5us6ns") == 3'723'004'005'006);
  CHECK(duration_ns("1.5s") == 1'500'000'000);
  CHECK(duration_ns("0.3s") == 300'000'000);
  CHECK(duration_ns(".5s") == 500'000'000);
  CHECK(duration_ns("1\xc2\xb5s") == 1'000);
  CHECK(duration_ns("-1s") == -1'000'000'000);
  CHECK(duration_ns("+1m") == 60'000'000'000);
  for (const char* wrong : {"", "1", "s", ".s", "1d", "1s ", " 1s", "--1s", "1e3s", "99999999999h"})
    CHECK_FALSE(duration_ns(wrong).has_value());
}

TEST_CASE("parse: SHELL is a JSON array (P24)") {
  CHECK(only<Shell>("SHELL [\"/bin/bash\", \"-c\"]").words == Strings{"/bin/bash", "-c"});
  const std::string hint = " | write it as a JSON array: 'SHELL [\"/bin/bash\", \"-c\"]'";
  CHECK(error_in("SHELL /bin/bash -c") == "7: SHELL takes a JSON array of strings" + hint);
  CHECK(error_in("SHELL []") == "7: SHELL is empty" + hint);
  CHECK(error_in("SHELL") == "1: SHELL has no operands" + hint);
}

TEST_CASE("parse: EXPOSE") {
  CHECK(texts(only<Expose>("EXPOSE 80  3000-3010/udp $PORTS").ports) ==
        Strings{"80", "3000-3010/udp", "$PORTS"});
  CHECK(error_in("EXPOSE") == "1: EXPOSE names no port | write 'EXPOSE 8080' or 'EXPOSE 53/udp'");
}

TEST_CASE("parse: FROM's words (P16, P30)") {
  CHECK(error_in("FROM") == "1: FROM names no image | write 'FROM image' or 'FROM image AS name'");
  CHECK(error_in("FROM a b") ==
        "8: FROM takes an image or 'image AS name', not 2 words | write 'FROM "
        "image' "
        "or 'FROM image AS name'");
  CHECK(error_in("FROM a is b") ==
        "8: FROM takes an image or 'image AS name', not 3 words | the word between "
        "image and name is 'AS'");
  CHECK(error_in("FROM a AS b c").rfind("13:", 0) == 0);
  CHECK(error_in("FROM a #c") ==
        "8: a comment stands on a line of its own | move it above the FROM");
  for (const char* wrong : {"1a", "-a", "a/b", "a:b", "\xc3\xa4", "a$x"}) {
    CAPTURE(wrong);
    CHECK(error_in(fmt::format("FROM x AS {}", wrong)) ==
          fmt::format("11: '{}' cannot name a stage | a stage's name starts with a "
                      "letter and has letters, digits, '-', '_' and '.'",
                      wrong));
  }
}

TEST_CASE("parse: ONBUILD keeps its trigger as it was written (P31)") {
  CHECK(only<OnBuild>("ONBUILD  RUN  a \\\n  b ").text == "RUN  a   b");
  CHECK(only<OnBuild>("onbuild copy --from=x [\"a b\", \"c\"]").text ==
        "copy --from=x [\"a b\", \"c\"]");
  CHECK(error_in("ONBUILD") == "1: ONBUILD holds no instruction | write 'ONBUILD RUN command'");
  for (const char* refused : {"ONBUILD RUN x", "from a", "MAINTAINER m"})
    CHECK(error_in(fmt::format("ONBUILD {}", refused)).rfind("9: ONBUILD cannot hold", 0) == 0);
  CHECK(error_in("ONBUILD RNU x") == "9: unknown instruction 'RNU' | did you mean 'RUN'?");
  CHECK(error_in("ONBUILD COPY a") ==
        "9: COPY needs a source and a destination | 'a' is the only operand");
  CHECK(error_in("ONBUILD --x RUN a").rfind("9: ONBUILD has no flag '--x'", 0) == 0);
}

TEST_CASE("parse: a trigger that an image holds") {
  const Instruction trigger = parse_trigger("RUN <<EOF\n\techo hi\nEOF", "base:1");
  CHECK(trigger.keyword == "RUN");
  CHECK(std::get<Run>(trigger.kind).heredocs.at(0).content == "\techo hi\n");
  CHECK(error_of([] { parse_trigger("RNU x", "base:1"); }) ==
        "4 | base:1:1:1: unknown instruction 'RNU' | did you mean 'RUN'?");
  CHECK(error_of([] { parse_trigger("RUN x\nRUN y", "base:1"); }) ==
        "4 | base:1:2:1: an ONBUILD trigger is a single instruction | line 2 is this:");
  CHECK(error_of([] {
          parse_trigger("FROM x", "base:1");
        }).rfind("4 | base:1:1:1: FROM cannot", 0) == 0);
  CHECK(error_of([] { parse_trigger(" \n", "base:1"); }) ==
        "4 | base:1:1:1: an ONBUILD trigger is empty | ");
}
