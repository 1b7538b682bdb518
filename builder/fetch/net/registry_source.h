// A repository to read from: the registry's mirrors in their order, then the registry (N8).
// Whatever comes is checked against its digest, so that a mirror can withhold but not forge (threat
// 20).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "netfetch/registry_endpoint.h"

namespace slipway::netfetch {

/// The registry does not have it, or does not show it to us.
class NotFound : public Error {
  using Error::Error;
};

struct Document {
  oci::Descriptor descriptor;
  std::string bytes;
};

class Source {
 public:
  Source(Work& work, oci::Reference reference);

  /// The digest and type a tag or digest names now, by HEAD; absent when the registry does not say
  /// both. Throws Error(outside) when there is no such thing.
  std::optional<oci::Descriptor> look_up(Connection& connection, const std::string& name);
  /// A manifest or index by tag or digest, at most oci::document_bytes_max. With `expected`, its
  /// size, type and digest must be these.
  Document document(Connection& connection, const std::string& name,
                    const oci::Descriptor* expected = nullptr);
  /// A small blob. Throws when it is longer than bytes_max.
  Document small_blob(Connection& connection, const oci::Descriptor& blob, uint64_t bytes_max);
  /// A blob into an empty file; resumes where a transfer broke off.
  void blob(Connection& connection, const oci::Descriptor& blob, int file);

 private:
  struct Place {
    std::unique_ptr<Endpoint> endpoint;
    std::atomic<bool> dead{false};  ///< did not answer: not asked again
  };
  /// Calls ask(endpoint, patience) for one place after the other until one has it; only with the
  /// registry itself is there any patience (else null), and its failure is the one thrown.
  template <typename Ask>
  auto ask_each(Ask ask);
  Endpoint::Request request(const Endpoint& endpoint, const std::string& kind,
                            const std::string& name) const;
  [[noreturn]] void refuse(Endpoint& endpoint, const Endpoint::Answer& answer) const;
  void foreign_blob(const oci::Descriptor& blob, int file);

  Work& work_;
  oci::Reference reference_;
  std::vector<std::unique_ptr<Place>> places_;  ///< the registry itself is last
};

/// Throws Error(outside) unless `bytes` are what the descriptor says (threat 20).
void check_content(const oci::Descriptor& wanted, std::string_view bytes);

}  // namespace slipway::netfetch
