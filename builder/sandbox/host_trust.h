// What the host's network needs of a step: private certificate authorities (many companies inspect
// TLS) and proxies. The host's bundle is mounted over the step's, variables are set for tools that
// bring trust of their own, and nothing of it gets into an artifact or a key.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/op.h"

namespace slipway::sandbox {

/// Where a step finds the bundle, whatever its distribution.
inline constexpr const char* step_bundle_path = "/etc/ssl/certs/ca-certificates.crt";
inline constexpr const char* java_cacerts_path = "/etc/ssl/certs/java/cacerts";
/// Variables that lead tools to a bundle other than their own.
inline constexpr const char* trust_variables[] = {
    "SSL_CERT_FILE",        // OpenSSL: Ruby, Python, composer; Go; uv
    "NODE_EXTRA_CA_CERTS",  // Node's built-in list
    "PIP_CERT",             // pip's vendored list
    "REQUESTS_CA_BUNDLE",   // Python requests: certifi
    "AWS_CA_BUNDLE",        // botocore's list
    "HEX_CACERTS_PATH",     // hex's built-in list
    "DENO_CERT",            // Deno's built-in list
};
/// The places of the distributions, in the order they are looked for on the host.
const std::vector<std::string>& bundle_paths();

struct HostTrust {
  std::string bundle;  ///< PEM text; empty = the host has none
  bool extra = false;  ///< it holds CAs that the distribution does not bring
  size_t extra_count = 0;
  std::string java_cacerts;  ///< path; empty unless the host has extra CAs and a Java key store
};

/// Where host_trust looks; tests give their own.
struct TrustSources {
  std::string root = "/";  ///< the machine's root
  std::function<const char*(const char*)> get_env;
};
/// The system's bundle, with the certificates of the file that SSL_CERT_FILE names added.
HostTrust find_host_trust(const TrustSources& sources);
/// The same for this process and machine, found once.
const HostTrust& host_trust();

/// Variables that a step gets in addition: trust variables only when the host has extra CAs,
/// proxies when the host has them. Nothing under Network::none. The engine adds and logs them;
/// they are no part of a key.
std::vector<std::pair<std::string, std::string>> host_trust_env(graph::Network network);
std::vector<std::pair<std::string, std::string>> host_trust_env(graph::Network network,
                                                                const HostTrust& trust,
                                                                const TrustSources& sources);

/// The certificates of a PEM text, each as its base64 without white space.
std::vector<std::string> pem_certificates(std::string_view text);

/// resolv.conf for a step: without servers on the host's loopback unless it shares the host's
/// network. Empty when no server is left.
std::string filter_resolv_conf(std::string_view text);
/// The host's: behind systemd-resolved's stub the real one.
std::string host_resolv_conf(const std::string& root);

}  // namespace slipway::sandbox
