// The certificate authority of a store: steps trust it while they are recorded, nobody else ever.
// Its key lies in the store (0600) and never leaves it; certificates of hosts are made when they
// are first asked for and kept in memory only.
#pragma once

#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "cache/store.h"

namespace slipway::record {

/// Thread-safe.
class Authority {
 public:
  /// Reads the store's authority (<store>/recorder-ca.pem), or makes one: when there is none, it
  /// cannot be read, or this machine's clock is outside its life (10 years).
  explicit Authority(cache::Store& store);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  /// The authority's certificate, PEM.
  const std::string& certificate_pem() const { return certificate_pem_; }
  /// A server's context for `host` (a name or an address, IPv6 in brackets); a handshake that asks
  /// for another name gets that one's certificate. Valid as long as the authority.
  SSL_CTX* context(const std::string& host);

 private:
  struct Parts;
  static int choose_context(SSL* tls, int* alert, void* self);

  std::unique_ptr<Parts> parts_;
  std::string certificate_pem_;
  std::mutex mutex_;
};

/// A host's name as it may stand in a certificate: letters, digits, '-', '_', '.', or an address.
bool is_host_name(std::string_view host);

}  // namespace slipway::record
