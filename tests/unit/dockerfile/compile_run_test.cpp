// RUN: commands, heredocs, mounts, network, security (dockerfile.md §3.2, H6-H9).
#include "compile_helpers.h"
#include "dockerfile/mount_spec.h"

using namespace compiling;
using graph::MountType;

namespace {

const std::string from = "FROM a\n";

graph::ExecOp run(const std::string& line, Given given = {}) {
  return exec(given.compile(from + line + "\n").root);
}

// The mounts but for the root, one text each.
Texts mounts(const graph::ExecOp& op) {
  static constexpr const char* types[] = {"bind", "cache", "secret", "ssh", "tmpfs", "workspace"};
  Texts told;
  for (const graph::Mount& mount : op.mounts) {
    if (mount.dest == "/") continue;
    told.push_back(fmt::format("{} {}{} {} in={} mode={:o} {}:{}", types[int(mount.type)],
                               mount.dest, mount.selector.empty() ? "" : " of " + mount.selector,
                               mount.readonly ? "ro" : "rw", mount.input, mount.mode,
                               mount.owner.uid, mount.owner.gid));
    CHECK(mount.output == -1);
  }
  return told;
}

graph::Mount mount(const std::string& spec, Given given = {}) {
  const graph::ExecOp op = run("RUN --mount=" + spec + " x", std::move(given));
  REQUIRE(op.mounts.size() == 2);
  return op.mounts[0].dest == "/" ? op.mounts[1] : op.mounts[0];
}

std::string mount_refusal(const std::string& spec) {
  return refusal(from + "RUN --mount=" + spec + " x\n");
}

}  // namespace

TEST_CASE("R1: shell form, exec form, SHELL; ENTRYPOINT does not count (catalogue 60)") {
  CHECK(run("RUN echo  a \\\n  b").argv == Texts{"/bin/sh", "-c", "echo  a   b"});
  CHECK(run("RUN [\"ls\", \"-l\"]").argv == Texts{"ls", "-l"});
  CHECK(run("SHELL [\"/bin/bash\", \"-ec\"]\nRUN x").argv == Texts{"/bin/bash", "-ec", "x"});
  CHECK(run("ENTRYPOINT [\"/nosuchcmd\"]\nRUN [\"ls\"]").argv == Texts{"ls"});
}

TEST_CASE("RUN: the node has LLB's shape (B5, B6, B11)") {
  const Compiled result = compiled(from + "RUN x\n");
  const graph::ExecOp& op = exec(result.root);
  REQUIRE(op.mounts.size() == 1);
  CHECK(op.mounts[0].dest == "/");
  CHECK(op.mounts[0].input == 0);
  CHECK(op.mounts[0].output == 0);
  CHECK(op.remove_mount_stubs);
  CHECK(op.cwd == "/");
  CHECK(op.user == "0:0");
  CHECK(op.network == graph::Network::open);
  CHECK(op.security == graph::Security::sandbox);
  CHECK(op.hostname.empty());
  CHECK(result.root->inputs().size() == 1);
  const Compiled empty = compiled("FROM scratch\nRUN [\"/x\"]\n");
  CHECK(exec(empty.root).mounts.at(0).input == -1);
  CHECK(empty.root->inputs().empty());
}

TEST_CASE("RUN: WORKDIR, USER and the options of the command line reach the step") {
  Given given;
  given.options.network = graph::Network::none;
  given.options.extra_hosts = {{"db", "10.0.0.1"}};
  given.options.ulimits = {{"nofile", 10, 20}};
  given.options.shm_size_bytes = 1 << 20;
  given.options.build_args["BUILDKIT_SANDBOX_HOSTNAME"] = "box";
  const graph::ExecOp op = run("WORKDIR /w\nUSER app:staff\nRUN x", given);
  CHECK(op.cwd == "/w");
  CHECK(op.user == "app:staff");
  CHECK(op.network == graph::Network::none);
  CHECK(op.extra_hosts == given.options.extra_hosts);
  CHECK(op.ulimits.at(0).hard == 20);
  CHECK(op.shm_size_bytes == 1 << 20);
  CHECK(op.hostname == "box");
}

TEST_CASE("X9: the order of the environment is that of what was set last") {
  CHECK(env(run("ENV a=1 b=2\nARG c=3\nENV a=4\nRUN x")) == "PATH=/base/bin b=2 c=3 a=4");
  CHECK(env(run("RUN x")).find("HOME") == std::string::npos);
}

TEST_CASE("H7: a heredoc with #! is a program, the shell starts it (catalogue 19)") {
  const Compiled result = compiled(from + "RUN <<-'EOF'\n\t#!/bin/awk -f\n\tBEGIN {}\nEOF\n");
  const graph::ExecOp& op = exec(result.root);
  CHECK(op.argv == Texts{"/bin/sh", "-c", "/dev/pipes/EOF"});
  CHECK(mounts(op) == Texts{"bind /dev/pipes ro in=1 mode=400 0:0"});
  const graph::FileAction& made = action(result.root->inputs().at(1));
  CHECK(files(result.root->inputs().at(1)).on_scratch);
  CHECK(made.kind == graph::FileAction::Kind::mkfile);
  CHECK(made.dest == "/EOF");
  CHECK(made.mode == 0755);
  CHECK(made.data == "#!/bin/awk -f\nBEGIN {}\n");
  CHECK(titles(result).at(1) == "[2/2] RUN <<-'EOF' (#!/bin/awk -f...)");
  CHECK(history(result).back() == "RUN /bin/sh -c /dev/pipes/EOF # buildkit");
}

TEST_CASE(
    "H8: a heredoc without #! is the shell's argument, nothing in it expands (catalogue 21)") {
  const Compiled result =
      compiled(from + "ARG name=old\nRUN <<EOF\nname=\"new\"\necho $name\nEOF\n");
  CHECK(exec(result.root).argv == Texts{"/bin/sh", "-c", "name=\"new\"\necho $name\n"});
  CHECK(run("SHELL [\"/bin/awk\"]\nRUN <<-E\n\tBEGIN {}\nE").argv ==
        Texts{"/bin/awk", "BEGIN {}\n"});
}

TEST_CASE("H9: with anything else on the line the shell reads the heredocs (catalogue 20)") {
  CHECK(run("RUN <<EOF 3<<IN awk -f -\nbody\nEOF\nthree\nIN").argv ==
        Texts{"/bin/sh", "-c", "<<EOF 3<<IN awk -f -\nbody\nEOF\nthree\nIN"});
  CHECK(run("RUN cat <<-A >/x\n\ttabs\n\tA").argv ==
        Texts{"/bin/sh", "-c", "cat <<-A >/x\n\ttabs\nA"});
}

TEST_CASE("R2: host network and full rights must be granted, exit 4 with the flag") {
  CHECK(refusal(from + "RUN --network=host x\n") ==
        "4 | Dockerfile:2:1: RUN --network=host was not granted | who starts the build grants it "
        "with --allow network.host");
  CHECK(refusal(from + "RUN --security=insecure x\n") ==
        "4 | Dockerfile:2:1: RUN --security=insecure was not granted | who starts the build grants "
        "it with --allow security.insecure");
  Given given;
  given.options.allow_host_network = given.options.allow_insecure = true;
  CHECK(run("RUN --network=host x", given).network == graph::Network::host);
  CHECK(run("RUN --network=none x").network == graph::Network::none);
  CHECK(run("RUN --network=default x").network == graph::Network::open);
  CHECK(run("RUN --security=insecure x", given).security == graph::Security::insecure);
  CHECK(run("RUN --security=sandbox x").security == graph::Security::sandbox);
}

TEST_CASE("R2: devices are not supported, and said so") {
  CHECK(refusal(from + "RUN --device=vendor/gpu,required x\n") ==
        "4 | Dockerfile:2:1: the device 'vendor/gpu' is required, and devices are not supported");
  CHECK(findings(compiled(from + "RUN --device=vendor/gpu x\n")) ==
        Texts{"UnsupportedDevice@2: devices are not supported: the step runs without "
              "'vendor/gpu'"});
}

TEST_CASE("R5: bind mounts take the context, stages and images; 0 is an image's name") {
  const Compiled result = compiled(
      "FROM b AS build\nRUN y\nFROM a\nRUN --mount=target=/c --mount=from=build,src=out,dst=o,rw "
      "--mount=type=bind,from=0,source=/x,target=/d x\n");
  CHECK(mounts(exec(result.root)) == Texts{"bind /c ro in=1 mode=400 0:0",
                                           "bind /d of /x ro in=3 mode=400 0:0",
                                           "bind /o of /out rw in=2 mode=400 0:0"});
  CHECK(std::holds_alternative<graph::LocalOp>(result.root->inputs().at(1)->op()));
  CHECK(exec(result.root->inputs().at(2)).argv.back() == "y");
  CHECK(std::get<graph::ImageOp>(result.root->inputs().at(3)->op()).reference.find("/0:latest@") !=
        std::string::npos);
  CHECK(result.context_paths == std::set<std::string>{"/"});
}

TEST_CASE("catalogue 64: what a writable bind gets is thrown away") {
  const graph::Mount one = mount("target=/out,rw");
  CHECK_FALSE(one.readonly);
  CHECK(one.output == -1);
}

TEST_CASE("R4: relative targets join WORKDIR, a target is clean, the root is none") {
  CHECK(run("WORKDIR /w\nRUN --mount=target=../x/./y/ z").mounts.at(1).dest == "/x/y");
  for (const char* target : {"/", "//", "/.", "/a/..", ".."})
    CHECK(mount_refusal(fmt::format("target={}", target)) ==
          "4 | Dockerfile:2:13: a mount cannot replace the root | name a folder: target=/src");
}

TEST_CASE("R6: caches have ids in a namespace, a seed, an owner when fresh") {
  const graph::Mount plain = mount("type=cache,target=/root/.npm/");
  CHECK(plain.type == MountType::cache);
  CHECK(plain.cache_id == "//root/.npm");
  CHECK(plain.input == -1);
  CHECK_FALSE(plain.readonly);
  CHECK(plain.mode == 0755);
  CHECK(plain.sharing == graph::CacheSharing::shared);
  Given given;
  given.options.build_args["BUILDKIT_CACHE_MOUNT_NS"] = "ns";
  const graph::Mount full =
      mount("type=cache,id=npm,target=/c,sharing=Locked,from=seed,uid=1,gid=2,mode=0700,ro", given);
  CHECK(full.cache_id == "ns/npm");
  CHECK(full.sharing == graph::CacheSharing::locked);
  CHECK(full.input == 1);
  CHECK(full.owner == graph::Owner{1, 2});
  CHECK(full.mode == 0700);
  CHECK(full.readonly);
  // Not the seed's own folders.
  const graph::Mount below = mount("type=cache,target=/c,from=seed,source=/s,uid=1,mode=0700");
  CHECK(below.selector == "/s");
  CHECK(below.mode == 0755);
  CHECK(below.owner == graph::Owner{});
  CHECK(mount("type=cache,target=/c,sharing=private").sharing == graph::CacheSharing::private_);
}

TEST_CASE("R7, catalogue 65: tmpfs has a size, and no owner") {
  const graph::Mount one = mount("type=tmpfs,target=/t,size=128m");
  CHECK(one.type == MountType::tmpfs);
  CHECK(one.tmpfs_size_bytes == 131072 * 1024);
  CHECK_FALSE(one.readonly);
  CHECK(mount_refusal("type=tmpfs,target=/t,uid=1") ==
        "4 | Dockerfile:2:13: 'uid' is not for mounts of type tmpfs | it is for cache, secret and "
        "ssh");
  CHECK(mount_refusal("target=/t,mode=0700").find("'mode' is not for mounts of type bind") !=
        std::string::npos);
  CHECK(
      mount_refusal("size=1m,type=tmpfs,target=/t").find("'size' is not for mounts of type bind") !=
      std::string::npos);
}

TEST_CASE("R8, V26: secrets as files, variables or both") {
  const auto secret = [](const std::string& spec) {
    const graph::Mount one = mount("type=secret," + spec);
    return fmt::format("{} at {} as {} {:o} {}:{}{}", one.secret_id, one.dest, one.secret_env,
                       one.mode, one.owner.uid, one.owner.gid, one.required ? " required" : "");
  };
  CHECK(secret("id=tok") == "tok at /run/secrets/tok as  400 0:0");
  CHECK(secret("source=a/tok") == "a/tok at /run/secrets/tok as  400 0:0");
  CHECK(secret("target=/x/y") == "y at /x/y as  400 0:0");
  CHECK(secret("id=tok,env=TOKEN") == "tok at  as TOKEN 400 0:0");
  CHECK(secret("id=tok,env=TOKEN,target=/t,required") == "tok at /t as TOKEN 400 0:0 required");
  CHECK(secret("id=tok,mode=741,uid=100,gid=102,target=/mysecret") ==
        "tok at /mysecret as  741 100:102");
  const Compiled result = compiled(from + "RUN --mount=type=secret,id=tok,env=K x\n");
  CHECK(result.secrets == std::set<std::string>{"tok"});
  CHECK(history(result).back() == "RUN /bin/sh -c x # buildkit");
  CHECK(env(exec(result.root)) == "PATH=/base/bin");
  CHECK(titles(compiled(from + "ENV K=old\nRUN --mount=type=secret,id=tok,env=K echo $K '$K'\n"))
            .back() == "[2/2] RUN --mount=type=secret,id=tok,env=K echo **** '$K'");
  CHECK(mount_refusal("type=secret").find("the secret is not named") != std::string::npos);
  CHECK(mount_refusal("type=secret,id=a,source=b").find("named twice") != std::string::npos);
  CHECK(mount_refusal("type=secret,id=a,from=b").find("'from' is not for mounts of type secret") !=
        std::string::npos);
  CHECK(mount_refusal("type=secret,id=a,sharing=shared")
            .find("'sharing' is not for mounts of type secret") != std::string::npos);
}

TEST_CASE("R9: agents are numbered, the first is SSH_AUTH_SOCK") {
  const Compiled result =
      compiled(from +
               "RUN --mount=type=ssh --mount=type=ssh,id=other,required,mode=0666 "
               "--mount=type=secret,id=s --mount=type=cache,target=/z x\n");
  const graph::ExecOp& op = exec(result.root);
  CHECK(mounts(op) == Texts{"cache /z rw in=-1 mode=755 0:0",
                            "secret /run/secrets/s ro in=-1 mode=400 0:0",
                            "ssh /run/buildkit/ssh_agent.0 rw in=-1 mode=600 0:0",
                            "ssh /run/buildkit/ssh_agent.1 rw in=-1 mode=666 0:0"});
  CHECK(env(op) == "PATH=/base/bin SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0");
  CHECK(result.ssh_agents == std::set<std::string>{"default", "other"});
  CHECK(op.mounts.back().required);
  CHECK(env(run("ENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh,target=/s x")) ==
        "PATH=/base/bin SSH_AUTH_SOCK=/mine");
  CHECK(mount_refusal("type=ssh,source=x").find("'source' is not for mounts of type ssh") !=
        std::string::npos);
}

TEST_CASE("R10, catalogue 66: parents are mounted before what lies in them") {
  CHECK(mounts(run("RUN --mount=type=cache,target=/foo/bar/baz --mount=type=cache,target=/foo/bar "
                   "--mount=target=/a x")) == Texts{"bind /a ro in=1 mode=400 0:0",
                                                    "cache /foo/bar rw in=-1 mode=755 0:0",
                                                    "cache /foo/bar/baz rw in=-1 mode=755 0:0"});
}

TEST_CASE("catalogue 80: a folder and a file of it as two mounts") {
  const Compiled result = compiled(
      from + "RUN --mount=source=.,target=/tmp/test --mount=source=b.txt,target=/tmp/b.txt x\n");
  CHECK(mounts(exec(result.root)) == Texts{"bind /tmp/b.txt of /b.txt ro in=1 mode=400 0:0",
                                           "bind /tmp/test ro in=1 mode=400 0:0"});
  CHECK(result.context_paths == std::set<std::string>{"/", "/b.txt"});
}

TEST_CASE("R3: values expand, keys are of any case, CSV quotes hold commas") {
  CHECK(run("ARG d=/x\nRUN --mount=TYPE=cache,TARGET=$d,id=${d}y z").mounts.at(1).cache_id ==
        "//xy");
  CHECK(run("RUN --mount=type=cache,\\\"id=a,b\\\",target=/c z").mounts.at(1).cache_id == "/a,b");
  CHECK(mount("target=/x,readonly=false").readonly == false);
  CHECK(mount("target=/x,rw=0").readonly == true);
  CHECK(refusal(from + "RUN --mount=target=/x,id=${y:?gone} z\n") ==
        "4 | Dockerfile:2:13: y: gone");
  CHECK(findings(compiled(from + "RUN --mount=target=/x,source=$nobody z\n")) ==
        Texts{"UndefinedVar@2: '$nobody' is not set here"});
}

TEST_CASE("catalogue 34, 65: mistakes in mounts come with suggestions") {
  CHECK(mount_refusal("typ=cache,target=/x") ==
        "4 | Dockerfile:2:13: unknown key 'typ' in 'typ=cache' | did you mean 'type'?");
  CHECK(mount_refusal("type=tmp,target=/x") ==
        "4 | Dockerfile:2:13: there are no mounts of type 'tmp' | did you mean 'tmpfs'?");
  CHECK(mount_refusal("type=cache,target=/x,sharing=lock") ==
        "4 | Dockerfile:2:13: a cache cannot be shared as 'lock' | did you mean 'locked'?");
  CHECK(mount_refusal("type=bind,from=$x,target=/y")
            .find("4 | Dockerfile:2:13: from=$x holds a variable | give the image a name") == 0);
  CHECK(mount_refusal("target") == "4 | Dockerfile:2:13: 'target' has no value | write target=…");
  CHECK(mount_refusal("frob").find("'frob' is no setting of a mount: write key=value") !=
        std::string::npos);
  CHECK(mount_refusal("").find("'' is no setting of a mount") != std::string::npos);
  CHECK(
      mount_refusal("required,type=secret,id=x")
          .find("'required' is not for mounts of type bind | it is for secret and ssh, and stands "
                "behind type=") != std::string::npos);
  CHECK(refusal("FROM a AS one\nRUN --mount=from=two,target=/x y\nFROM a AS two\nFROM one\n")
            .find("4 | Dockerfile:2:1: stage 'two' must stand above stage 'one'") == 0);
}

TEST_CASE("keys that mean nothing for a type are told, not refused (Q2)") {
  CHECK(findings(compiled(from + "RUN --mount=target=/x,env=A,id=b y\n")) ==
        Texts{"UnusedMountKey@2: 'env' means nothing for this type of mount",
              "UnusedMountKey@2: 'id' means nothing for this type of mount"});
  CHECK(findings(compiled(from + "RUN --mount=type=tmpfs,target=/x,source=b y\n")).size() == 1);
}

TEST_CASE("a RUN needs its context only when it mounts it") {
  Given given;
  given.options.context = nullptr;
  CHECK(refusal(from + "RUN x\n", given) == "no error");
  CHECK(refusal(from + "RUN --mount=target=/x y\n", given) ==
        "4 | Dockerfile:2:1: there is no context to take files from | the Dockerfile alone was "
        "given; name a folder or a URL as context");
}

TEST_CASE("RUN --mount=from of a stage that is empty mounts an empty folder") {
  const Compiled result =
      compiled("FROM scratch AS none\nFROM a\nRUN --mount=from=none,target=/x y\n");
  const graph::FileOp& op = files(result.root->inputs().at(1));
  CHECK(op.on_scratch);
  CHECK(op.actions.empty());
}
