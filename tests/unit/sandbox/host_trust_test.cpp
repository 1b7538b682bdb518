#include "sandbox/host_trust.h"

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using slipway::sandbox::testing::Sandbox;

namespace {

std::string certificate(const std::string& body) {
  return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n";
}

/// A machine's root with a bundle and the distribution's own certificates.
struct FakeMachine {
  TempDir dir = TempDir::create("slipway-trust");
  std::map<std::string, std::string> env;
  TrustSources sources() {
    return {dir.path().string(), [this](const char* name) -> const char* {
              const auto found = env.find(name);
              return found == env.end() ? nullptr : found->second.c_str();
            }};
  }
  void write(const std::string& path, const std::string& text) {
    make_directories((dir.path() / path).parent_path());
    write_file_atomic(dir.path() / path, text);
  }
};

const char* value_of(const std::vector<std::pair<std::string, std::string>>& env,
                     const std::string& name) {
  for (const auto& [key, value] : env)
    if (key == name) return value.c_str();
  return nullptr;
}

}  // namespace

TEST_CASE("host trust: a machine with its distribution's certificates sets no variable") {
  FakeMachine machine;
  machine.write("usr/share/ca-certificates/mozilla/a.crt", certificate("AAAA"));
  machine.write("usr/share/ca-certificates/mozilla/b.crt", certificate("BBBB"));
  machine.write("etc/ssl/certs/ca-certificates.crt", certificate("AAAA") + certificate("BB\nBB"));
  const HostTrust trust = find_host_trust(machine.sources());
  CHECK_FALSE(trust.extra);
  CHECK(trust.java_cacerts.empty());
  CHECK(host_trust_env(graph::Network::open, trust, machine.sources()).empty());
}

TEST_CASE("host trust: an added authority sets variables, never without a network") {
  FakeMachine machine;
  machine.write("usr/share/ca-certificates/mozilla/a.crt", certificate("AAAA"));
  machine.write("etc/ssl/certs/ca-certificates.crt", certificate("AAAA") + certificate("CORP"));
  machine.write("etc/ssl/certs/java/cacerts", "binary");
  const HostTrust trust = find_host_trust(machine.sources());
  CHECK(trust.extra);
  CHECK(trust.extra_count == 1);
  CHECK(trust.java_cacerts == "/etc/ssl/certs/java/cacerts");
  for (const graph::Network network : {graph::Network::open, graph::Network::host}) {
    const auto env = host_trust_env(network, trust, machine.sources());
    REQUIRE(value_of(env, "NODE_EXTRA_CA_CERTS") != nullptr);
    CHECK(std::string(value_of(env, "NODE_EXTRA_CA_CERTS")) == step_bundle_path);
    CHECK(value_of(env, "HEX_CACERTS_PATH") != nullptr);
    CHECK(value_of(env, "http_proxy") == nullptr);
  }
  CHECK(host_trust_env(graph::Network::none, trust, machine.sources()).empty());
}

TEST_CASE("host trust: distributions that keep their list elsewhere") {
  FakeMachine machine;
  machine.write("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                certificate("AAAA") + certificate("CORP"));
  CHECK_FALSE(find_host_trust(machine.sources()).extra);
  machine.write("etc/pki/ca-trust/source/anchors/corp.pem", certificate("CORP"));
  CHECK(find_host_trust(machine.sources()).extra_count == 1);
}

TEST_CASE("host trust: the file SSL_CERT_FILE names is added to the bundle") {
  FakeMachine machine;
  machine.write("usr/share/ca-certificates/a.crt", certificate("AAAA"));
  machine.write("etc/ssl/certs/ca-certificates.crt", certificate("AAAA"));
  machine.write("corp.pem", "Bag Attributes\n" + certificate("CORP") + certificate("AAAA"));
  machine.env["SSL_CERT_FILE"] = (machine.dir.path() / "corp.pem").string();
  const HostTrust trust = find_host_trust(machine.sources());
  CHECK(trust.extra_count == 1);
  CHECK(pem_certificates(trust.bundle) == std::vector<std::string>{"AAAA", "CORP"});
}

TEST_CASE("host trust: proxies pass as they are spelled") {
  FakeMachine machine;
  machine.env = {
      {"https_proxy", "http://proxy:3128"}, {"NO_PROXY", "localhost"}, {"http_proxy", ""}};
  const auto env = host_trust_env(graph::Network::open, {}, machine.sources());
  CHECK(env == std::vector<std::pair<std::string, std::string>>{
                   {"https_proxy", "http://proxy:3128"}, {"NO_PROXY", "localhost"}});
  CHECK(host_trust_env(graph::Network::none, {}, machine.sources()).empty());
}

TEST_CASE("host trust: name servers on the host's loopback are left out") {
  CHECK(filter_resolv_conf("# c\nsearch a.b\nnameserver 127.0.0.53\nnameserver 10.0.0.1\n") ==
        "search a.b\nnameserver 10.0.0.1\n");
  CHECK(filter_resolv_conf("nameserver 127.0.0.1\nnameserver ::1\nsearch x\n").empty());
  FakeMachine machine;
  machine.write("etc/resolv.conf", "nameserver 127.0.0.53\n");
  CHECK(host_resolv_conf(machine.dir.path().string()) == "nameserver 127.0.0.53\n");
  machine.write("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n");
  CHECK(host_resolv_conf(machine.dir.path().string()) == "nameserver 192.0.2.1\n");
}

TEST_CASE("host trust: PEM is cut out of whatever surrounds it") {
  CHECK(pem_certificates("").empty());
  CHECK(pem_certificates("-----BEGIN CERTIFICATE-----\nAA").empty());
  CHECK(pem_certificates("x" + certificate("A A\r\nB") + "y").front() == "AAB");
}

TEST_CASE("host trust: a server with a private authority is trusted in a step, without trace") {
  if (find_program("openssl").empty()) {
    WARN("openssl is not installed");
    return;
  }
  Sandbox box;
  const SnapshotId upper = box.layer();
  ExecSpec spec = Sandbox::host_step();
  spec.network = graph::Network::host;
  const auto open = box.shell(
      "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; "
      "(echo x > /etc/ssl/certs/ca-certificates.crt) 2>/dev/null && echo bad",
      spec);
  const HostTrust& trust = host_trust();
  if (!trust.bundle.empty()) CHECK(std::stoul(open.out) == pem_certificates(trust.bundle).size());
  CHECK(open.out.find("bad") == std::string::npos);

  // A root that has no bundle gets one for the step and keeps nothing.
  const SnapshotId root =
      box.layer({{"usr", 0755, {}}, {"bin", 0755, {}}, {"lib", 0755, {}}, {"lib64", 0755, {}}});
  ExecSpec layers;
  layers.root.layers = {root};
  layers.root.upper = upper;
  layers.network = graph::Network::host;
  layers.env = {{"PATH", "/usr/bin:/bin"}};
  for (const char* folder : {"/usr", "/bin", "/lib", "/lib64"}) {
    StepMount mount;
    mount.kind = StepMount::Kind::host_path;
    mount.source = mount.dest = folder;
    layers.mounts.push_back(mount);
  }
  const std::string look = "test -s /etc/ssl/certs/ca-certificates.crt && echo there || echo none";
  CHECK(box.shell(look, layers).out == (trust.bundle.empty() ? "none\n" : "there\n"));
  CHECK(box.worker->scan({{upper, {}}, "", {}, {}}).tree.entries.empty());
  layers.network = graph::Network::none;
  CHECK(box.shell(look, layers).out == "none\n");
  layers.network = graph::Network::host;
  layers.host_ca = HostCa::none;
  CHECK(box.shell(look, layers).out == "none\n");
}
