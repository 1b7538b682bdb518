// Debian's docker-registry on the loopback, with TLS of a CA of the test's own and a password, and
// an image to push there.
#pragma once

#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "fetch/fetcher.h"

namespace slipway::test {

inline Fd file_of(const std::string& bytes) {
  Fd file(memfd_create("test", MFD_CLOEXEC));
  write_all(file.get(), bytes);
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

inline std::string digest_of(const std::string& bytes) {
  return "sha256:" + sha256_hex(bytes);
}

inline oci::Descriptor descriptor_of(const std::string& bytes, const std::string& type) {
  oci::Descriptor descriptor;
  descriptor.media_type = type;
  descriptor.digest = digest_of(bytes);
  descriptor.size_bytes = bytes.size();
  return descriptor;
}

/// Bytes that differ by seed and do not compress.
inline std::string noise(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

/// A small image, valid for other engines too: its layers are uncompressed tars without entries
/// would be; here just bytes, since nobody unpacks them.
struct TestImage {
  std::vector<std::string> layers;
  std::string config, manifest;

  explicit TestImage(std::vector<std::string> contents, const std::string& architecture = "amd64",
                     bool docker_types = false)
      : layers(std::move(contents)) {
    Json ids = Json::array();
    oci::Manifest made;
    for (const std::string& layer : layers) {
      ids.push_back(digest_of(layer));
      made.layers.push_back(descriptor_of(
          layer, docker_types ? oci::media_type::docker_layer : oci::media_type::layer));
    }
    config = dump_json({{"architecture", architecture},
                        {"os", "linux"},
                        {"config", Json::object()},
                        {"rootfs", {{"type", "layers"}, {"diff_ids", ids}}}});
    made.config = descriptor_of(
        config, docker_types ? oci::media_type::docker_config : oci::media_type::config);
    if (docker_types) made.media_type = oci::media_type::docker_manifest;
    manifest = oci::serialize_manifest(made);
    descriptors = made.layers;
    config_descriptor = made.config;
    media_type = made.media_type;
  }
  std::vector<oci::Descriptor> descriptors;
  oci::Descriptor config_descriptor;
  std::string media_type;

  fetch::PushRequest push_to(const oci::Reference& reference) const {
    fetch::PushRequest request;
    request.reference = reference;
    for (size_t i = 0; i < layers.size(); ++i)
      request.blobs.push_back({descriptors[i], {}, [this, i] { return file_of(layers[i]); }, {}});
    request.blobs.push_back({config_descriptor, {}, [this] { return file_of(config); }, {}});
    request.documents.push_back({media_type, manifest});
    return request;
  }
};

template <typename Work>
Error error_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  throw std::logic_error("unreachable");
}

/// Pulls blobs; their contents by digest.
inline std::map<std::string, std::string> pull_all(const fetch::Fetcher& fetcher,
                                                   const oci::Reference& reference,
                                                   const std::vector<oci::Descriptor>& blobs) {
  std::map<std::string, std::string> got;
  fetcher.pull({reference, blobs}, [&](const oci::Descriptor& blob, Fd file) {
    CHECK(got.emplace(blob.digest, read_all(file.get())).second);
  });
  return got;
}

inline std::string free_port() {
  const Fd socket_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no free port");
  return std::to_string(ntohs(address.sin_port));
}

inline bool can_connect(const std::string& port) {
  const Fd socket_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  return connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

/// Nothing of this machine's settings reaches the tests; each gets an empty home.
inline void clean_environment(const fs::path& home) {
  for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
                           "ALL_PROXY", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "DOCKER_CONFIG",
                           "DOCKER_AUTH_CONFIG", "XDG_CONFIG_HOME"})
    unsetenv(name);
  fs::create_directories(home);
  setenv("HOME", home.c_str(), 1);
}

/// slipway-fetch of this build tree.
inline std::string fetch_program() {
  return (fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "slipway-fetch")
      .string();
}

class DockerRegistry {
 public:
  enum class Kind : uint8_t { plain, secure };
  static constexpr const char* user = "user";
  static constexpr const char* password = "s3cret-word";

  explicit DockerRegistry(Kind kind) : port_(free_port()) {
    clean_environment(temp_.path() / "home");
    std::string config =
        "version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: " +
        (temp_.path() / "data").string() +
        "}\n  delete: {enabled: true}\nhttp:\n  addr: 127.0.0.1:" + port_ + "\n";
    if (kind == Kind::secure) {
      make_certificates();
      // bcrypt of the password above; made once, since not every machine has a program for it.
      write_file_atomic(temp_.path() / "htpasswd",
                        "user:$2y$05$1K1jG16Yn02dLuXw50Fphe.tkUKdybwreS5GwBg4sHTWoXPApE2fG\n");
      config += "  tls: {certificate: " + path("server.pem") + ", key: " + path("server.key") +
                "}\nauth:\n  htpasswd: {realm: test, path: " + path("htpasswd") + "}\n";
    }
    write_file_atomic(temp_.path() / "config.yml", config);
    log_ = open_file(path("log"), O_WRONLY | O_CREAT, 0600);
    SpawnOptions options;
    options.argv = {"docker-registry", "serve", path("config.yml")};
    options.stdout_fd = options.stderr_fd = log_.get();
    child_ = spawn(options);
    for (int i = 0; i < 500 && !can_connect(port_); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (!can_connect(port_))
      throw std::runtime_error("docker-registry did not start: " + read_file(path("log")));
  }
  const std::string& port() const { return port_; }
  std::string domain() const { return "localhost:" + port_; }
  std::string path(const std::string& name) const { return (temp_.path() / name).string(); }
  oci::Reference reference(const std::string& name) const {
    return oci::parse_reference(domain() + "/" + name);
  }
  /// With short patience; notes are collected.
  fetch::Fetcher fetcher() {
    fetch::Fetcher made;
    made.program = fetch_program();
    made.temp_dir = path("downloads");
    fs::create_directories(made.temp_dir);
    made.registry.retry_delay = std::chrono::milliseconds(5);
    made.registry.retries = 2;
    made.on_note = [this](const std::string& text) { notes.push_back(text); };
    return made;
  }
  /// docker's folder of certificates for this registry.
  void trust() const {
    const fs::path folder = temp_.path() / "home/.config/docker/certs.d" / domain();
    fs::create_directories(folder);
    fs::copy_file(path("ca.pem"), folder / "ca.crt", fs::copy_options::overwrite_existing);
  }
  std::vector<std::string> notes;

 private:
  void make_certificates() const {
    const auto openssl = [](std::vector<std::string> argv) {
      RunOptions options;
      options.argv = std::move(argv);
      (void)run_ok(options);
    };
    write_file_atomic(temp_.path() / "san",
                      "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
    openssl({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=Test CA", "-keyout", path("ca.key"), "-out", path("ca.pem")});
    openssl({"openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout",
             path("server.key"), "-out", path("server.csr")});
    openssl({"openssl", "x509", "-req", "-in", path("server.csr"), "-CA", path("ca.pem"), "-CAkey",
             path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", path("san"), "-out",
             path("server.pem")});
  }

  TempDir temp_ = TempDir::create("registry-test");
  std::string port_;
  Fd log_;
  Child child_;
};

inline bool have_registry() {
  return !find_program("docker-registry").empty() && !find_program("openssl").empty();
}

}  // namespace slipway::test

#define NEEDS_REGISTRY()                                                     \
  if (!slipway::test::have_registry()) {                                     \
    WARN("skipped: docker-registry and openssl are needed for a real peer"); \
    return;                                                                  \
  }
