// What can be asked of a registry (the OCI distribution protocol, dockerfile.md §13). The calls are
// Fetcher's; the work is done by slipway-fetch, the only one that sees credentials.
//
// A base image: resolve() gives documents, pull() the layers the store lacks.
//
//   const ResolveResult found = fetcher.resolve({.reference = ref, .platform = wanted});
//   // pin found.top.digest (F4); keep found.index, found.manifest and found.config as blobs
//   fetcher.pull({.reference = ref, .blobs = layers_we_lack},
//                [&](const oci::Descriptor& blob, Fd file) { store.adopt(blob, std::move(file));
//                });
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace slipway::fetch {

/// How registries are reached. Filled once by the command layer. Domains are as in a Reference.
///
/// Without any of it: https, trusting the system's CAs, SSL_CERT_FILE and the *.crt files of the
/// registry's folder (docker's and skopeo's: <domain>/ below containers/certs.d and docker/certs.d
/// in $XDG_CONFIG_HOME, else ~/.config, then in /etc; *.cert with *.key are client certificates).
/// localhost, 127.0.0.0/8 and [::1] may answer with plain http instead. Credentials are docker's:
/// DOCKER_AUTH_CONFIG, $DOCKER_CONFIG/config.json, credential helpers (N7).
struct RegistrySettings {
  /// "host[:port]" whose TLS is not verified and which may answer with plain http (N8).
  std::set<std::string> insecure;
  /// Domain → "http(s)://host[:port][/prefix]", asked in order before the registry itself; for
  /// resolve and pull only (N8). The prefix goes before the repository's path.
  std::map<std::string, std::vector<std::string>> mirrors;
  /// Hosts besides a registry's own site that may be sent its users' credentials when a registry
  /// names them as the place for tokens (threat 14).
  std::set<std::string> token_hosts;
  /// Transfers of a call at once. Two calls of this process may transfer blobs with one registry at
  /// a time, others wait; documents do not (N6).
  int parallel = 4;
  int retries = 4;  ///< further attempts after network errors, 408, 429 and 5xx
  std::chrono::milliseconds retry_delay{1000};  ///< before the first retry; doubles each time
  std::chrono::seconds stall_limit{60};         ///< give up on a connection that moves nothing
};

/// The size of an image config that is still read; manifests: oci::document_bytes_max.
inline constexpr uint64_t config_bytes_max = 16 << 20;

struct ResolveRequest {
  oci::Reference reference;
  /// Of an index the manifest for it is taken; absent = only what the reference names is fetched,
  /// whatever its config is.
  std::optional<oci::Platform> platform;
  /// Digests of documents the caller has: when the reference still names one of them, a HEAD is all
  /// that is asked (registries do not count those) and nothing but `top` is filled.
  std::set<std::string> known;
};
/// Bytes whose digest and size the descriptor says; both were checked.
struct RegistryDocument {
  oci::Descriptor descriptor;
  std::string bytes;
};
struct ResolveResult {
  /// What the reference names: its digest is what gets pinned (F4).
  oci::Descriptor top;
  bool unchanged = false;                 ///< top.digest is one of `known`
  std::optional<RegistryDocument> index;  ///< when the reference names one
  /// With a platform always; without one when the reference names a manifest. Nested indexes are
  /// followed.
  std::optional<RegistryDocument> manifest;
  std::optional<RegistryDocument> config;  ///< with a platform
};

struct PullRequest {
  oci::Reference reference;            ///< tag and digest do not matter
  std::vector<oci::Descriptor> blobs;  ///< the same digest twice is fetched once
};
/// Gets each blob as soon as it is complete and verified, in any order, while others are still
/// under way: a file at offset 0, without a name, below Fetcher::temp_dir (where O_TMPFILE exists,
/// linkat() can give it one). Called on the calling thread; what it throws ends the pull.
using OnBlob = std::function<void(const oci::Descriptor& blob, Fd file)>;

struct PushBlob {
  oci::Descriptor descriptor;
  /// Repositories of the same registry that may have it ("library/debian"): asked to mount it.
  std::vector<std::string> mount_from;
  /// Exactly one of the two is set; called only when the registry lacks the blob, and again when an
  /// upload has to begin anew. `open`: on the calling thread, a regular file, read from offset 0.
  /// `write`: on a thread of its own, writes the bytes in order into a pipe; when the registry has
  /// given up, writing fails and the failure is ignored.
  std::function<Fd()> open;
  std::function<void(int out)> write;
};
struct PushDocument {
  std::string media_type;
  std::string bytes;  ///< exactly as published
};
struct PushRequest {
  oci::Reference reference;
  std::vector<std::string> more_tags;  ///< besides the reference's
  /// Layers and configs; the same digest twice is pushed once.
  std::vector<PushBlob> blobs;
  /// Manifests and indexes, children first (N4). The last one gets the tags; the others are found
  /// by digest only. One with a `subject` is also listed under the referrers tag when the registry
  /// does not keep such lists itself (N5).
  std::vector<PushDocument> documents;
};
struct PushResult {
  std::string digest;  ///< of the last document
  uint64_t uploaded_bytes = 0;
  size_t uploaded = 0, mounted = 0, present = 0;  ///< blobs
};

struct LoginRequest {
  std::string domain;
  std::string user;
  /// Where the password or token is read from, to its end; one newline at the end is dropped. A
  /// pipe on stdin can be passed on without its content ever being in this program's memory.
  int password_fd = -1;
};

}  // namespace slipway::fetch
