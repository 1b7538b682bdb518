// Instructions that make the image's config and history (dockerfile.md §3.4, §12.1 M3, M4).
#include "compile_helpers.h"
#include "dockerfile/expose.h"
#include "dockerfile/history.h"

using namespace compiling;

namespace {

const std::string from = "FROM a\n";

oci::RunConfig config(const std::string& lines) {
  return compiled(from + lines).config.config;
}

// The texts of the file's own instructions.
Texts own_history(const std::string& lines) {
  Texts all = history(compiled(from + lines));
  all.erase(all.begin());
  return all;
}

Given with_base(std::function<void(oci::RunConfig&)> change) {
  Given given;
  given.images[hub("base:latest")] = base_config();
  change(given.images[hub("base:latest")].config);
  return given;
}

}  // namespace

TEST_CASE("I1: ENV replaces in place; catalogue 78: a percent sign is one") {
  CHECK(config("ENV a=1 b=2\nENV a=3 A=4\nENV myenv foo%sbar\n").env ==
        oci::EnvList{
            {"PATH", "/base/bin"}, {"a", "3"}, {"b", "2"}, {"A", "4"}, {"myenv", "foo%sbar"}});
  CHECK(refusal(from + "ENV $x=1\n") == "4 | Dockerfile:2:5: the name '$x' expands to nothing");
  CHECK(refusal(from + "ARG x=a=b\nENV $x=1\n") ==
        "4 | Dockerfile:3:5: the name 'a=b' holds a '='");
}

TEST_CASE("I2, catalogue 57: WORKDIR makes a directory of the user's, and a layer") {
  const Compiled result =
      compiled(from +
               "WORKDIR /test1\nUSER user:grp\nWORKDIR test2\nWORKDIR ..\nUSER 5\n"
               "WORKDIR /\nWORKDIR x\n");
  REQUIRE(result.layers.size() == 4);
  const graph::FileAction& first = action(result.layers[0]);
  CHECK(first.kind == graph::FileAction::Kind::mkdir);
  CHECK(first.dest == "/test1");
  CHECK(first.mode == 0755);
  CHECK(first.create_dest_path);
  CHECK_FALSE(first.owner);
  CHECK(action(result.layers[1]).dest == "/test1/test2");
  CHECK(action(result.layers[1]).owner_names == "user:grp");
  CHECK(action(result.layers[2]).dest == "/test1");
  CHECK(action(result.layers[3]).dest == "/x");
  CHECK(action(result.layers[3]).owner == graph::Owner{5, 5});
  CHECK(result.config.config.working_dir == "/x");
  CHECK(own_history("WORKDIR /a\nWORKDIR b\nWORKDIR /\n") ==
        Texts{"WORKDIR /a", "WORKDIR /a/b", "WORKDIR /"});
  // The last of them is no layer.
  const Compiled root = compiled(from + "WORKDIR /\n");
  CHECK(root.layers.empty());
  CHECK(root.config.history.back().empty_layer);
}

TEST_CASE("X5: an absolute WORKDIR is kept as it expands") {
  CHECK(config("WORKDIR /x/$unset/y\n").working_dir == "/x//y");
}

TEST_CASE("WORKDIR on scratch makes the tree, a named owner cannot be looked up there") {
  const Compiled result = compiled("FROM scratch\nWORKDIR /w\n");
  CHECK(files(result.root).on_scratch);
  CHECK(result.root->inputs().empty());
  CHECK(refusal("FROM scratch\nUSER app\nWORKDIR /w\n")
            .find("4 | Dockerfile:3:9: there is no /etc/passwd to look 'app' up in") == 0);
  CHECK(refusal("FROM scratch\nUSER 1000:root\nWORKDIR /w\n") == "no error");
}

TEST_CASE("I3: USER is stored as it is") {
  CHECK(config("USER 1234\n").user == "1234");
  CHECK(config("USER app:staff\n").user == "app:staff");
  CHECK(config("USER app\nUSER $nobody\n").user.empty());
}

TEST_CASE("I4: LABEL replaces by name") {
  CHECK(config("LABEL a=1 \"b c\"=\"d e\"\nLABEL a=2\n").labels ==
        std::map<std::string, std::string>{{"a", "2"}, {"b c", "d e"}});
}

TEST_CASE("I5, catalogue 33: EXPOSE") {
  CHECK(config("ARG PORTS=\"3000 4000/udp\"\nEXPOSE $PORTS\n").exposed_ports ==
        std::set<std::string>{"3000/tcp", "4000/udp"});
  CHECK(config("EXPOSE 8000-8002/UDP 53/sctp [::1]:90:80 127.0.0.1:1:2 7:6 5/\n").exposed_ports ==
        std::set<std::string>{"8000/udp", "8001/udp", "8002/udp", "53/sctp", "80/tcp", "2/tcp",
                              "6/tcp", "5/tcp"});
  // Words are in order of their text, what they expand to follows them.
  CHECK(own_history("EXPOSE 90 80-81 443/tcp\n") == Texts{"EXPOSE [443/tcp 80/tcp 81/tcp 90/tcp]"});
  const auto bad = [](const std::string& port) { return refusal(from + "EXPOSE " + port + "\n"); };
  CHECK(bad("80/http") ==
        "4 | Dockerfile:2:8: '80/http' is no port: 'http' is none of tcp, udp, "
        "sctp | write 8080, 53/udp or 8000-8010");
  CHECK(bad("65536").find("'65536' is no number from 0 to 65535") != std::string::npos);
  CHECK(bad("-1").find("is no number") != std::string::npos);
  CHECK(bad("a").find("is no number") != std::string::npos);
  CHECK(bad("/tcp").find("is no number") != std::string::npos);
  CHECK(bad("90-80").find("the range ends before it begins") != std::string::npos);
  CHECK(bad("x:1:2").find("'x' is no address") != std::string::npos);
  CHECK(bad("1-3:5-6").find("the ranges differ in length") != std::string::npos);
}

TEST_CASE("I6: VOLUME records paths and mounts nothing") {
  const Compiled result = compiled(from + "VOLUME /a $HOME/b\nVOLUME [\"/c d\"]\nRUN x\n");
  CHECK(result.config.config.volumes == std::set<std::string>{"/a", "/b", "/c d"});
  CHECK(exec(result.root).mounts.size() == 1);
  CHECK(refusal(from + "VOLUME $none\n") ==
        "4 | Dockerfile:2:8: the volume's path '$none' expands to nothing");
}

TEST_CASE("I7: HEALTHCHECK replaces the inherited one wholly") {
  const oci::Healthcheck shell =
      *config(
           "HEALTHCHECK --interval=30s --timeout=1m30s --start-period=500ms "
           "--start-interval=1s --retries=3 CMD curl -f x\n")
           .healthcheck;
  CHECK(shell == oci::Healthcheck{{"CMD-SHELL", "curl -f x"},
                                  30'000'000'000,
                                  90'000'000'000,
                                  500'000'000,
                                  1'000'000'000,
                                  3});
  CHECK(config("HEALTHCHECK CMD [\"a\", \"b\"]\n").healthcheck->test == Texts{"CMD", "a", "b"});
  Given given = with_base([&](oci::RunConfig& base) { base.healthcheck = shell; });
  CHECK(given.compile("FROM base\nHEALTHCHECK NONE\n").config.config.healthcheck ==
        oci::Healthcheck{{"NONE"}, 0, 0, 0, 0, 0});
  CHECK(own_history("HEALTHCHECK --interval=90m --timeout=1500ms CMD true\n") ==
        Texts{"HEALTHCHECK {Test:[CMD-SHELL true] Interval:1h30m0s Timeout:1.5s StartPeriod:0s "
              "StartInterval:0s Retries:0}"});
}

TEST_CASE("I8: SHELL is stored, inherited and used by what follows") {
  CHECK(config("CMD a\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT b\n").shell ==
        Texts{"/bin/bash", "-c"});
  const Compiled result = compiled("FROM a AS s\nSHELL [\"sh2\"]\nFROM s\nCMD c\n");
  CHECK(result.config.config.cmd == Texts{"sh2", "c"});
}

TEST_CASE("I9: STOPSIGNAL takes names and numbers") {
  for (const char* good : {"SIGTERM", "quit", "9", "RTMIN", "SIGRTMIN+3", "RTMAX-2", "64"})
    CHECK(config(fmt::format("STOPSIGNAL {}\n", good)).stop_signal == good);
  for (const char* bad : {"0", "65", "SIGNO", "RTMIN+16", "RTMIN+x", "TERM;x", "-9"})
    CHECK(refusal(from + fmt::format("STOPSIGNAL {}\n", bad)) ==
          fmt::format("4 | Dockerfile:2:12: '{}' is no signal | write a name or number: SIGTERM, "
                      "QUIT, 9",
                      bad));
}

TEST_CASE("I10, catalogue 59: ENTRYPOINT drops a CMD that was inherited") {
  Given given = with_base([](oci::RunConfig& base) { base.cmd = Texts{"test"}; });
  const oci::RunConfig child =
      given.compile("FROM base\nSHELL [\"ls\"]\nENTRYPOINT my entrypoint\n").config.config;
  CHECK_FALSE(child.cmd);
  CHECK(child.entrypoint == Texts{"ls", "my entrypoint"});
  CHECK(given.compile("FROM base\nCMD [\"own\"]\nENTRYPOINT [\"e\"]\n").config.config.cmd ==
        Texts{"own"});
  CHECK(given.compile("FROM base\nENTRYPOINT [\"e\"]\nCMD [\"own\"]\n").config.config.cmd ==
        Texts{"own"});
  // That of a stage below is inherited too.
  CHECK_FALSE(compiled("FROM a AS s\nCMD x\nFROM s\nENTRYPOINT [\"e\"]\n").config.config.cmd);
  CHECK(config("CMD x\n").args_escaped);
  CHECK_FALSE(config("ENTRYPOINT x\n").args_escaped);
}

TEST_CASE("P24: CMD [] is an empty command, ENTRYPOINT [] is none") {
  Given given = with_base([](oci::RunConfig& base) {
    base.cmd = Texts{"test"};
    base.entrypoint = Texts{"e"};
  });
  const oci::RunConfig child = given.compile("FROM base\nENTRYPOINT []\nCMD []\n").config.config;
  CHECK_FALSE(child.entrypoint);
  CHECK(child.cmd == Texts{});
  CHECK(own_history("ENTRYPOINT []\nCMD []\n") == Texts{"ENTRYPOINT []", "CMD []"});
}

TEST_CASE("catalogue 71: the history of RUN tells the ARGs") {
  CHECK(own_history("ARG foo=bar\nARG bar=123\nARG foo=bar2\nRUN ls /etc/\n") ==
        Texts{"ARG foo=bar", "ARG bar=123", "ARG foo=bar2",
              "RUN |2 foo=bar2 bar=123 /bin/sh -c ls /etc/ # buildkit"});
  // What ENV made of it since; an ARG without a value counts too.
  CHECK(own_history("ARG a=1\nARG b\nENV a=2\nRUN x\n").back() ==
        "RUN |2 a=2 b= /bin/sh -c x # buildkit");
  CHECK(history(compiled("FROM a AS s\nARG x=1\nFROM s\nARG y=2\nRUN [\"z\"]\n")).back() ==
        "RUN |2 x=1 y=2 z # buildkit");
}

TEST_CASE("M4: the texts of all instructions") {
  CHECK(own_history(
            "MAINTAINER me <m@e>\nENV a=1 b=\"2 3\"\nLABEL l=\"a b\"\nUSER u:g\nVOLUME /a /b\n"
            "STOPSIGNAL QUIT\nSHELL [\"/bin/bash\", \"-c\"]\nCMD [\"a\", \"b\\\"c\\n\"]\n"
            "ENTRYPOINT e\nARG x y=2\nONBUILD RUN x\nCOPY --from=a [\"/f\", \"/g h\"]\n"
            "ADD f $a/\nRUN <<E cat\nE\n") ==
        Texts{"MAINTAINER me <m@e>", "ENV a=1 b=2 3", "LABEL l=a b", "USER u:g", "VOLUME [/a /b]",
              "STOPSIGNAL QUIT", "SHELL [/bin/bash -c]", "CMD [\"a\" \"b\\\"c\\n\"]",
              "ENTRYPOINT [\"/bin/bash\" \"-c\" \"e\"]", "ARG x y=2", "COPY /f /g h # buildkit",
              "ADD f 1/ # buildkit", "RUN |2 x= y=2 /bin/bash -c <<E cat\nE # buildkit"});
}

TEST_CASE("M3: layers and entries that are no layer agree") {
  const Compiled result =
      compiled(from + "ENV a=1\nRUN x\nCOPY f /\nWORKDIR /w\nWORKDIR /\nCMD y\n");
  size_t layers = 0;
  for (const oci::History& entry : result.config.history) layers += entry.empty_layer ? 0 : 1;
  CHECK(layers == result.layers.size() + result.config.diff_ids.size());
  for (size_t i = 1; i < result.config.history.size(); ++i) {
    CHECK(result.config.history[i].comment == "buildkit.dockerfile.v0");
    CHECK(result.config.history[i].created.empty());
  }
}

TEST_CASE("history: Go's notation of strings and durations") {
  CHECK(quoted_list({"", "a\tb", "\x01\x7f", "\xff", "ä€😀", "\xc2\xa0\xe2\x80\x8b"}) ==
        "[\"\" \"a\\tb\" \"\\x01\\x7f\" \"\\xff\" \"ä€😀\" \"\\u00a0\\u200b\"]");
  CHECK(quoted_list({"\xf3\xb0\x80\x80"}) == "[\"\\U000f0000\"]");
  CHECK(plain_list({}) == "[]");
  CHECK(go_duration(0) == "0s");
  CHECK(go_duration(1) == "1ns");
  CHECK(go_duration(1'500) == "1.5µs");
  CHECK(go_duration(500'000'000) == "500ms");
  CHECK(go_duration(1'000'000'000) == "1s");
  CHECK(go_duration(60'000'000'000) == "1m0s");
  CHECK(go_duration(3'600'000'000'000 + 1) == "1h0m0.000000001s");
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
}

TEST_CASE("history: it is bounded as configs are (threat 7)") {
  std::string many = from;
  for (int i = 0; i < 10'001; ++i) many += "ENV a=1\n";
  CHECK(refusal(many).find("4 | Dockerfile:10001:1: the image's history has more than 10000 "
                           "entries") == 0);
}
