// Rows of the threat list that a compiler can already answer: what leaves it must not let a hostile
// Dockerfile, build arg or base image reach beyond what was granted.
#include <set>

#include "compile_helpers.h"
#include "dockerfile/mount_spec.h"
#include "dockerfile/owner.h"

using namespace compiling;

namespace {

const std::string from = "FROM a\n";

std::string answer(const std::string& spec) {
  try {
    parse_mount(spec, [](const std::string& value) { return value; });
    return "taken";
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK_FALSE(error.cause().empty());
    return "refused";
  }
}

}  // namespace

TEST_CASE("threat 3: sources of mounts and copies stay below their root") {
  for (const char* source :
       {"../../etc", "/../../etc", "/a/../../../etc", "..//..//etc", "./../etc"}) {
    const graph::ExecOp op =
        exec(compiled(from + fmt::format("RUN --mount=source={},target=/x y\n", source)).root);
    CHECK(op.mounts.at(1).selector == "/etc");
    CHECK(action(compiled(from + fmt::format("COPY {} /x\n", source)).root).source == "/etc");
    CHECK(action(compiled(from + fmt::format("COPY --parents {} /x\n", source)).root).source ==
          "/etc");
    CHECK(action(compiled(from + fmt::format("COPY f {}\n", source)).root).dest == "/etc");
  }
}

TEST_CASE("threat 3: a cache's id is a name, never a path") {
  for (const std::string& id : {std::string("../../etc"), std::string("/etc/passwd"),
                                std::string(4096, 'x'), std::string("a/../b")}) {
    const graph::Mount mount =
        exec(compiled(from + "RUN --mount=type=cache,target=/c,id=" + id + " x\n").root)
            .mounts.at(1);
    CHECK(mount.cache_id == "/" + id);
    CHECK(mount.input == -1);
    CHECK(mount.selector.empty());
  }
  // An empty id is none: the target names the cache.
  CHECK(exec(compiled(from + "RUN --mount=type=cache,target=/c,id= x\n").root)
            .mounts.at(1)
            .cache_id == "//c");
}

TEST_CASE("threat 4: every key of a mount with odd values is taken by an enum or refused") {
  const Texts keys{"type", "from",     "source", "src", "target",    "dst",      "destination",
                   "id",   "readonly", "ro",     "rw",  "readwrite", "required", "sharing",
                   "size", "mode",     "uid",    "gid", "env"};
  const Texts values{"",
                     "exec,suid",
                     "\"bind",
                     "a b",
                     "0x10",
                     "-1",
                     "4294967295",
                     "4294967296",
                     "99999999999999999999",
                     "1e9",
                     "true\n",
                     "TRUE ",
                     "/../..",
                     "rbind",
                     "shared,ro",
                     "$(id)",
                     "`id`",
                     "a;b",
                     "\t",
                     "é",
                     "\xff",
                     std::string(5000, '9'),
                     std::string("a\0b", 3)};
  const Texts types{"bind", "cache", "secret", "ssh", "tmpfs"};
  std::set<std::string> seen;
  for (const std::string& type : types)
    for (const std::string& key : keys)
      for (const std::string& value : values)
        seen.insert(answer(fmt::format("type={},target=/x,{}={}", type, key, value)));
  CHECK(seen == std::set<std::string>{"refused", "taken"});
  // No option of mount(8) is a key, whatever its spelling.
  for (const char* key : {"exec", "suid", "dev", "nosuid", "bind-propagation", "propagation", "o",
                          "options", "volume-driver", "consistency", "z", "relabel", "idmap", "U"})
    for (const std::string& type : types) {
      CHECK(answer(fmt::format("type={},target=/x,id=i,{}=1", type, key)) == "refused");
      CHECK(answer(fmt::format("type={},target=/x,id=i,{}", type, key)) == "refused");
    }
  // Flags that grant something are booleans and nothing else.
  for (const char* value : {"yes", "on", "2", "rw", "true;", " true"})
    CHECK(answer(fmt::format("target=/x,rw={}", value)) == "refused");
  CHECK(answer("type=volume,target=/x") == "refused");
  CHECK(answer("type=bind\n,target=/x") == "refused");
}

TEST_CASE("threat 6: nothing in a file or a base grants host network or full rights") {
  Given given;
  given.images[hub("base:latest")] = base_config();
  for (const char* trigger : {"RUN --network=host x", "RUN --security=insecure x"}) {
    given.images[hub("base:latest")].config.on_build = {trigger};
    CHECK(refusal("FROM base\n", given).find("was not granted") != std::string::npos);
  }
  given.images[hub("base:latest")].config.on_build.clear();
  given.options.build_args = {{"BUILDKIT_SYNTAX", "evil/frontend"}, {"network", "host"}};
  const graph::ExecOp op =
      exec(given.compile("# syntax=evil/frontend\nFROM base\nARG network\nRUN x\n").root);
  CHECK(op.network == graph::Network::open);
  CHECK(op.security == graph::Security::sandbox);
  CHECK(refusal("FROM a\nRUN --network=HOST x\n").find("4 | Dockerfile:2:") == 0);
  CHECK(refusal("FROM a\nRUN --security=insecure,sandbox x\n").find("4 | Dockerfile:2:") == 0);
}

TEST_CASE("threat 17: ids are numbers of 32 bits, whatever is not is a name or refused") {
  const auto user = [](const std::string& text) {
    return refusal(from + "USER " + text + "\nRUN x\n");
  };
  CHECK(user("-1").find("4 | Dockerfile:2:6: USER '-1' begins with a sign") == 0);
  CHECK(user("4294967296").find("USER '4294967296' is no number of 32 bits") != std::string::npos);
  CHECK(user("4294967295").find("is no number of 32 bits") != std::string::npos);
  CHECK(user("0x0").find("USER '0x0' is hexadecimal, ids are decimal") != std::string::npos);
  CHECK(user("\"root \"").find("USER 'root ' has a sign that no name has") != std::string::npos);
  CHECK(user("1:2:3").find("has more than one ':'") != std::string::npos);
  CHECK(user(":0").find("is no name of a user or group") != std::string::npos);
  CHECK(user("app:").find("is no name of a user or group") != std::string::npos);
  CHECK(user("../x").find("has a sign that no name has") != std::string::npos);
  CHECK(user("app:-1").find("begins with a sign") != std::string::npos);
  CHECK(user("4294967294:4294967294") == "no error");
  for (const char* text : {"-1", "4294967295", "+1", "0x1", "a b", "1:", "a:b:c", ""})
    CHECK_THROWS_AS(parse_owner(text), Error);
  CHECK(parse_owner("0004294967294").ids == graph::Owner{4294967294, 4294967294});
  CHECK(refusal(from + "COPY --chown=4294967296:0 f /\n")
            .find("4 | Dockerfile:2:14: the owner '4294967296' is no number of 32 bits") == 0);
  CHECK(refusal(from + "RUN --mount=type=cache,target=/c,uid=4294967295 x\n")
            .find("uid=4294967295 is not a number of 32 bits") != std::string::npos);
  // A base's own USER is judged where it is used.
  Given given;
  given.images[hub("base:latest")] = base_config();
  given.images[hub("base:latest")].config.user = "-1";
  CHECK(refusal("FROM base\nWORKDIR /x\n", given).find("the owner '-1' begins with a sign") !=
        std::string::npos);
}

TEST_CASE("threat 18: different plans have different keys") {
  const Texts plans{"RUN a b",
                    "RUN [\"a b\"]",
                    "RUN [\"a\", \"b\"]",
                    "RUN [\"a\", \"b\", \"\"]",
                    "ENV x=1\nRUN a b",
                    "ENV x=\nRUN a b",
                    "ARG y=1\nRUN a b",
                    "ENV x=1 y=2\nRUN a b",
                    "ENV x=\"1 y=2\"\nRUN a b",
                    "ENV y=2 x=1\nRUN a b",
                    "WORKDIR /w\nRUN a b",
                    "USER 1\nRUN a b",
                    "USER 1:1\nRUN a b",
                    "SHELL [\"/bin/sh\"]\nRUN -c a b",
                    "RUN --network=none a b",
                    "RUN --mount=target=/x a b",
                    "RUN --mount=target=/x,source=y a b",
                    "RUN --mount=target=/x,rw a b",
                    "RUN --mount=target=/y a b",
                    "RUN --mount=type=tmpfs,target=/x a b",
                    "RUN --mount=type=tmpfs,target=/x,size=1k a b",
                    "RUN --mount=type=cache,target=/x a b",
                    "RUN --mount=type=cache,target=/x,id=y a b",
                    "RUN --mount=type=cache,target=/x,sharing=locked a b",
                    "RUN --mount=type=cache,target=/x,uid=1 a b",
                    "RUN --mount=type=cache,target=/x,mode=0700 a b",
                    "RUN --mount=type=secret,id=x a b",
                    "RUN --mount=type=secret,id=x,required a b",
                    "RUN --mount=type=secret,id=x,env=y a b",
                    "RUN --mount=type=secret,id=x,mode=0444 a b",
                    "RUN --mount=type=ssh a b",
                    "RUN <<E\na b\nE",
                    "RUN <<E\n#!a b\nE",
                    "RUN <<F\n#!a b\nF",
                    "COPY a b",
                    "COPY a b/",
                    "COPY a /b/c",
                    "COPY a a b/",
                    "COPY [\"a a\", \"b/\"]",
                    "COPY --link a b",
                    "COPY --parents a b",
                    "COPY --chown=1 a b",
                    "COPY --chown=1:2 a b",
                    "COPY --chown=app a b",
                    "COPY --chown=app:1 a b",
                    "COPY --chmod=1 a b",
                    "COPY --chmod=u+x a b",
                    "COPY --exclude=x a b",
                    "COPY --exclude=x --exclude=y a b",
                    "COPY [\"a\", \"b\"]\nCOPY a c",
                    "COPY --from=c a b",
                    "COPY --from=d a b",
                    "COPY <<E b\na\nE",
                    "COPY <<F b\na\nF",
                    "COPY <<E b\naa\nE",
                    "ADD a b",
                    "ADD --unpack=false a c",
                    "ADD http://h/a b",
                    "ADD http://h/a?x b",
                    "ADD --unpack=true http://h/a b",
                    "ADD --checksum=sha256:" + std::string(64, 'a') + " http://h/a b",
                    "ADD git@h:a b",
                    "ADD git@h:a#r b",
                    "ADD git@h:a#:r b",
                    "ADD git@h:a#r:s b",
                    "ADD --keep-git-dir git@h:a b",
                    "ADD --checksum=ab git@h:a b",
                    "ADD git@h:a?submodules=0 b",
                    "WORKDIR /b",
                    "USER 1\nWORKDIR /b",
                    "USER u\nWORKDIR /b",
                    "USER u:g\nWORKDIR /b"};
  std::map<std::string, std::string> keys;
  for (const std::string& base : {std::string("FROM a\n"), std::string("FROM b\n"),
                                  std::string("FROM --platform=linux/arm64 a AS arm64\n")})
    for (const std::string& plan : plans) {
      const std::string key = compiled(base + plan + "\n").root->digest().hex();
      INFO(base + plan);
      INFO(keys[key]);
      CHECK(keys[key].empty());
      keys[key] = base + plan;
    }
  CHECK(keys.size() == plans.size() * 3);
}

TEST_CASE("threat 23: fields are arguments, never parts of a shell's line") {
  const std::string nasty = "$(touch /x);`id`|a&&b";
  const Compiled result =
      compiled(from + "ARG n='" + nasty +
               "'\nENV v=$n\nWORKDIR /$n\nLABEL l=$n\nVOLUME /$n\n"
               "COPY --chown=1 \"f$n\" \"/d$n/\"\nRUN --mount=type=cache,target=/c,id=$n x\n");
  const graph::ExecOp& op = exec(result.root);
  CHECK(op.argv == Texts{"/bin/sh", "-c", "x"});
  CHECK(op.cwd == "/" + nasty);
  CHECK(op.mounts.at(1).cache_id == "/" + nasty);
  CHECK(op.env.back().second == nasty);
  // The one text of ours that a shell reads, the path of a heredoc's program, is quoted.
  CHECK(exec(compiled(from + "RUN <<\"a;id $(x)\"\n#!/bin/sh\na;id $(x)\n").root).argv ==
        Texts{"/bin/sh", "-c", "/dev/pipes/'a;id $(x)'"});
}

TEST_CASE("threat 24: no name in a Dockerfile leads to files of this machine") {
  for (const char* name : {"oci:/etc/x", "oci-archive:/etc/passwd", "docker-archive:/x",
                           "stack:host/run", "/etc", "./x", "file:///etc"}) {
    CHECK(refusal(fmt::format("FROM {}\n", name)).find("4 | Dockerfile:1:6: ") == 0);
    CHECK(refusal(from + fmt::format("COPY --from={} / /\n", name)).find("4 | Dockerfile:2:1: ") ==
          0);
    CHECK(refusal(from + fmt::format("RUN --mount=from={},target=/x y\n", name))
              .find("4 | Dockerfile:2:1: ") == 0);
  }
}
