// Of OpenSSL's interfaces only the old one shows a digest's inner state, see Sha256::save().
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace slipway {
namespace {

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, ContextDeleter>;

// Fetched once: EVP_blake2b512() looks the provider up at every init otherwise.
const EVP_MD* blake2b() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "BLAKE2B-512", nullptr);
  return algorithm;
}
Context start(const EVP_MD* algorithm) {
  Context context(EVP_MD_CTX_new());
  if (!context || algorithm == nullptr ||
      EVP_DigestInit_ex2(context.get(), algorithm, nullptr) != 1)
    throw std::logic_error("the crypto library offers no such digest");
  return context;
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

Digest::operator bool() const {
  for (uint8_t byte : bytes)
    if (byte != 0) return true;
  return false;
}

std::string Digest::hex() const {
  return to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Digest Digest::from_hex(std::string_view hex) {
  Digest digest;
  bool good = hex.size() == digest.bytes.size() * 2;
  for (size_t i = 0; good && i < digest.bytes.size(); ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    good = high >= 0 && low >= 0;
    digest.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  if (!good) fail(ExitCode::machine, "'{}' is not a digest", hex.substr(0, 80));
  return digest;
}

struct Hasher::State {
  Context context = start(blake2b());
};
Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
void Hasher::update(std::string_view data) {
  update(data.data(), data.size());
}
void Hasher::update(const void* data, size_t size) {
  EVP_DigestUpdate(state_->context.get(), data, size);
}
Digest Hasher::finish() {
  unsigned char full[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(state_->context.get(), full, nullptr);
  Digest digest;
  std::memcpy(digest.bytes.data(), full, digest.bytes.size());
  return digest;
}

Digest hash_bytes(std::string_view data) {
  Hasher hasher;
  hasher.update(data);
  return hasher.finish();
}

Digest hash_fd(int fd, uint64_t* size_out) {
  Hasher hasher;
  std::vector<char> buffer(1 << 17);
  uint64_t total = 0;
  while (const size_t count = read_some(fd, buffer.data(), buffer.size())) {
    hasher.update(buffer.data(), count);
    total += count;
  }
  if (size_out != nullptr) *size_out = total;
  return hasher.finish();
}

struct Sha256::State {
  SHA256_CTX context{};
};
Sha256::Sha256() : state_(std::make_unique<State>()) {
  SHA256_Init(&state_->context);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
void Sha256::update(const void* data, size_t size) {
  SHA256_Update(&state_->context, data, size);
}
std::string Sha256::finish_hex() {
  unsigned char full[SHA256_DIGEST_LENGTH];
  SHA256_Final(full, &state_->context);
  return to_hex({reinterpret_cast<const char*>(full), sizeof full});
}

std::string Sha256::save() const {
  const SHA256_CTX& context = state_->context;
  std::string saved;
  const auto put = [&](uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) saved += static_cast<char>(value >> (8 * i) & 0xff);
  };
  for (const SHA_LONG word : context.h) put(word, 4);
  put((uint64_t{context.Nh} << 32 | context.Nl) / 8, 8);
  saved.append(reinterpret_cast<const char*>(context.data), context.num);
  return saved;
}

Sha256 Sha256::resume(std::string_view saved) {
  constexpr size_t words_bytes = 32, fixed_bytes = words_bytes + 8;
  const auto number = [&](size_t at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(saved[at + i]);
    return value;
  };
  const bool long_enough = saved.size() >= fixed_bytes;
  const uint64_t count = long_enough ? number(words_bytes, 8) : 0;
  if (!long_enough || saved.size() != fixed_bytes + count % SHA256_CBLOCK || count >> 61 != 0)
    fail(ExitCode::machine, "a kept state of a SHA-256 is malformed");
  Sha256 hasher;
  SHA256_CTX& context = hasher.state_->context;
  for (size_t i = 0; i < 8; ++i) context.h[i] = static_cast<SHA_LONG>(number(4 * i, 4));
  // What waits for a full block is taken as input again: it is less than a block.
  const uint64_t bits = (count - count % SHA256_CBLOCK) * 8;
  context.Nl = static_cast<SHA_LONG>(bits & 0xffffffff);
  context.Nh = static_cast<SHA_LONG>(bits >> 32);
  hasher.update(saved.data() + fixed_bytes, saved.size() - fixed_bytes);
  return hasher;
}

std::string sha256_hex(std::string_view data) {
  Sha256 hasher;
  hasher.update(data.data(), data.size());
  return hasher.finish_hex();
}

KeyBuilder& KeyBuilder::add(std::string_view name, std::string_view value) {
  const uint64_t sizes[2] = {name.size(), value.size()};
  hasher_.update(sizes, sizeof sizes);
  hasher_.update(name);
  hasher_.update(value);
  return *this;
}
KeyBuilder& KeyBuilder::add(std::string_view name, uint64_t value) {
  return add(name, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}
KeyBuilder& KeyBuilder::add(std::string_view name, const Digest& value) {
  return add(name, std::string_view(reinterpret_cast<const char*>(value.bytes.data()),
                                    value.bytes.size()));
}

Digest keyed_digest(std::string_view key, std::string_view value) {
  unsigned char full[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (HMAC(EVP_sha512(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(value.data()), value.size(), full,
           &size) == nullptr)
    throw std::logic_error("HMAC failed");
  Digest digest;
  std::memcpy(digest.bytes.data(), full, digest.bytes.size());
  return digest;
}

std::string random_bytes(size_t size) {
  std::string bytes(size, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size)) != 1)
    throw Error(ExitCode::machine, "the system has no random numbers");
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

}  // namespace slipway
