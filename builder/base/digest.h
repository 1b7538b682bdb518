// Digests. BLAKE2b (512 bits, cut to 256) names files, chunks, trees and keys; SHA-256 is used only
// for what is published (OCI blobs, slug checksums), because it runs at 0.2 GB/s on processors
// without special instructions.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace slipway {

/// A BLAKE2b-256 digest; a value, ordered bytewise. All zero = unset.
struct Digest {
  std::array<uint8_t, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
  explicit operator bool() const;
  std::string hex() const;  ///< 64 lower-case digits
  std::string short_hex() const { return hex().substr(0, 12); }
  /// Throws ExitCode::machine unless `hex` is 64 hex digits.
  static Digest from_hex(std::string_view hex);
};

/// Streaming BLAKE2b-256.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(std::string_view data);
  void update(const void* data, size_t size);
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};
Digest hash_bytes(std::string_view data);
/// Hashes from the current offset to the end; returns the bytes read through size_out.
Digest hash_fd(int fd, uint64_t* size_out = nullptr);

/// Streaming SHA-256, for published digests only.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(const void* data, size_t size);
  std::string finish_hex();  ///< 64 lower-case digits
  /// What was hashed so far, to be continued by another process: the eight words and the number of
  /// bytes (big-endian), then the bytes that do not fill a block yet. Equal on all machines.
  std::string save() const;
  /// Throws Error(machine) when `saved` is not of that form.
  static Sha256 resume(std::string_view saved);

 private:
  struct State;
  std::unique_ptr<State> state_;
};
std::string sha256_hex(std::string_view data);

/// Builds keys from named, length-prefixed fields, so that no two different field lists give the
/// same bytes (threat 18).
class KeyBuilder {
 public:
  explicit KeyBuilder(std::string_view kind) { add("kind", kind); }
  KeyBuilder& add(std::string_view name, std::string_view value);
  KeyBuilder& add(std::string_view name, uint64_t value);
  KeyBuilder& add(std::string_view name, const Digest& value);
  Digest finish() { return hasher_.finish(); }

 private:
  Hasher hasher_;
};

/// Keyed digest (HMAC-SHA-512, cut to 256 bits) for secret values: the
/// key lives in the store, so a value cannot be guessed from a record.
Digest keyed_digest(std::string_view key, std::string_view value);

/// size bytes from the system's generator.
std::string random_bytes(size_t size);
std::string to_hex(std::string_view bytes);

}  // namespace slipway
