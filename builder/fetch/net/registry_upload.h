// One blob into a repository (dockerfile.md N4): is it there, can it be mounted, else an upload in
// one piece; in several where the registry takes no more at once, or to go on where one broke off.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "netfetch/registry_endpoint.h"

namespace slipway::netfetch {

/// The other program's end of the channel: gives blobs when asked. Thread-safe.
class BlobGiver {
 public:
  explicit BlobGiver(int channel) : channel_(channel) {}
  /// A file at offset 0 or a pipe with blob `index` of the request.
  Fd want(size_t index);
  /// The bytes of `index` ended before its size: whoever gives them knows why.
  void tell_short(size_t index);

 private:
  std::mutex mutex_;
  int channel_;
};

enum class Pushed : uint8_t { present, mounted, uploaded };

class Upload {
 public:
  Upload(Work& work, Endpoint& endpoint, std::string repository, const oci::Descriptor& blob,
         size_t index, BlobGiver& giver);
  /// Gives up the session on the registry, if one is open.
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  /// `mount_from` are repositories of the same registry. Throws Error(outside).
  Pushed run(Connection& connection, const std::vector<std::string>& mount_from);

 private:
  Endpoint::Request request(const std::string& method, const std::string& path) const;
  Endpoint::Request at_session(const std::string& method) const;
  bool present(Connection& connection);
  bool mount(Connection& connection, const std::vector<std::string>& mount_from);
  void open(Connection& connection);
  /// Asks where an open session stands; false when there is none any more.
  bool recall(Connection& connection);
  void transfer(Connection& connection);
  void expect_session(const Endpoint::Answer& answer);
  void put_whole(Connection& connection);
  void patch(Connection& connection);
  void put_end(Connection& connection);
  void keep_location(const Endpoint::Answer& answer);
  void give_up() noexcept;
  fetch::Url closing_location() const;
  void seek(uint64_t offset);
  size_t read(char* data, size_t size);

  Work& work_;
  Endpoint& endpoint_;
  const std::string repository_;
  const oci::Descriptor& blob_;
  const size_t index_;
  BlobGiver& giver_;

  std::optional<fetch::Url> session_;
  uint64_t offset_ = 0;           ///< bytes the registry has
  uint64_t chunk_bytes_ = 0;      ///< 0 = all at once
  uint64_t chunk_bytes_min_ = 0;  ///< as the registry says (OCI-Chunk-Min-Length)
  bool broken_ = false;           ///< the session's last transfer broke off
  Fd source_;
  uint64_t position_ = 0;  ///< in source_
};

}  // namespace slipway::netfetch
