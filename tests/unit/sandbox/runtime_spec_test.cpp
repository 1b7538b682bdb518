#include "sandbox/runtime_spec.h"

#include <unistd.h>

#include "catch2/catch.hpp"

using namespace slipway;
using namespace slipway::sandbox;

namespace {

nlohmann::json config_of(const ExecSpec& spec, const Setup& setup = {}, StepUser user = {}) {
  return runtime_config({spec, setup, std::move(user), "/x/root", "/app"});
}

}  // namespace

TEST_CASE("runtime spec: the mask is Docker's default set by name") {
  const std::vector<std::string> names = capability_names(default_capabilities);
  CHECK(names == std::vector<std::string>{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER",
                                          "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
                                          "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",
                                          "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE",
                                          "CAP_SETFCAP"});
  const nlohmann::json capabilities = config_of({})["process"]["capabilities"];
  CHECK(capabilities["bounding"] == names);
  CHECK_FALSE(capabilities.contains("inheritable"));
  CHECK_FALSE(capabilities.contains("ambient"));
}

TEST_CASE("runtime spec: namespaces, masks and privileges") {
  ExecSpec spec;
  spec.security = graph::Security::no_new_privileges;
  const nlohmann::json config = config_of(spec);
  std::vector<std::string> types;
  for (const auto& item : config["linux"]["namespaces"]) types.push_back(item["type"]);
  CHECK(types == std::vector<std::string>{"pid", "ipc", "uts", "mount", "cgroup", "network"});
  CHECK(config["linux"]["maskedPaths"].size() == masked_paths().size());
  CHECK(config["linux"]["readonlyPaths"].size() == readonly_paths().size());
  CHECK(config["process"]["noNewPrivileges"] == true);
  CHECK_FALSE(config["linux"].contains("resources"));
  spec.security = graph::Security::sandbox;
  CHECK(config_of(spec)["process"]["noNewPrivileges"] == false);
}

TEST_CASE("runtime spec: the environment keeps its order; HOME comes from passwd when missing") {
  ExecSpec spec;
  spec.env = {{"Z", "1"}, {"A", "two words"}};
  StepUser user;
  user.home = "/home/me";
  CHECK(config_of(spec, {}, user)["process"]["env"] ==
        nlohmann::json({"Z=1", "A=two words", "HOME=/home/me"}));
  user.home = "relative";
  CHECK(config_of(spec, {}, user)["process"]["env"].back() == "HOME=/");
  spec.env.emplace_back("HOME", "/app");
  CHECK(config_of(spec, {}, user)["process"]["env"].size() == 3);
}

TEST_CASE("runtime spec: the filter goes to crun as BPF, to others as a profile") {
  Setup setup;
  setup.seccomp_bpf = "12345678";
  CHECK(config_of({}, setup)["annotations"]["run.oci.seccomp_bpf_data"] == "MTIzNDU2Nzg=");
  setup.is_crun = false;
  setup.seccomp_json = R"({"defaultAction":"SCMP_ACT_ERRNO"})";
  const nlohmann::json config = config_of({}, setup);
  CHECK_FALSE(config.contains("annotations"));
  CHECK(config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO");
}

TEST_CASE("runtime spec: with a single id no other is named") {
  Setup setup;
  setup.single_id = true;
  StepUser user;
  user.groups = {0};
  const std::string text = config_of({}, setup, user).dump();
  CHECK(text.find("gid=5") == std::string::npos);
  CHECK(text.find("additionalGids") == std::string::npos);
}
