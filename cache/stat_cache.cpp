#include "cache/stat_cache.h"

#include <libdeflate.h>

#include <cstring>

#include "base/error.h"

namespace slipway::cache {
namespace {

constexpr std::string_view magic("slipway-stat 1\n\0", 16);

struct Header {
  char magic[16];
  uint32_t crc32;
  uint32_t root_size;
  uint64_t count;
};
static_assert(sizeof(Header) == 32);
constexpr size_t crc_start = offsetof(Header, root_size);

struct RecordHead {
  uint32_t path_size;
  uint32_t flags;
  FileIdentity identity;
  uint8_t digest[32];
};
static_assert(sizeof(RecordHead) == 72);
constexpr uint32_t flag_trusted = 1;

uint32_t checksum(const std::string& bytes) {
  return libdeflate_crc32(0, bytes.data() + crc_start, bytes.size() - crc_start);
}

}  // namespace

std::shared_ptr<const StatCache> StatCache::parse(std::string bytes, const std::string& root_path) {
  Header header;
  if (bytes.size() < sizeof header) return nullptr;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::string_view(header.magic, sizeof header.magic) != magic ||
      header.crc32 != checksum(bytes) || header.root_size != root_path.size() ||
      bytes.compare(sizeof header, root_path.size(), root_path) != 0)
    return nullptr;
  std::shared_ptr<StatCache> cache(new StatCache);
  size_t offset = sizeof header + header.root_size;
  if (header.count > bytes.size() / sizeof(RecordHead)) return nullptr;
  cache->offsets_.reserve(static_cast<size_t>(header.count));
  for (uint64_t i = 0; i < header.count; ++i) {
    uint32_t path_size;
    if (offset > bytes.size() || bytes.size() - offset < sizeof(RecordHead)) return nullptr;
    std::memcpy(&path_size, bytes.data() + offset, sizeof path_size);
    if (path_size > bytes.size() - offset - sizeof(RecordHead)) return nullptr;
    cache->offsets_.push_back(offset);
    offset += sizeof(RecordHead) + path_size;
  }
  if (offset != bytes.size()) return nullptr;
  cache->bytes_ = std::move(bytes);
  return cache;
}

StatRecord StatCache::at(size_t index) const {
  const char* data = bytes_.data() + offsets_[index];
  RecordHead head;
  std::memcpy(&head, data, sizeof head);
  StatRecord record{.path = {data + sizeof head, head.path_size},
                    .identity = head.identity,
                    .trusted = (head.flags & flag_trusted) != 0};
  std::memcpy(record.digest.bytes.data(), head.digest, sizeof head.digest);
  return record;
}

std::optional<StatRecord> StatCache::find(std::string_view path) const {
  size_t low = 0, high = size();
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (at(middle).path < path)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == size() || at(low).path != path) return std::nullopt;
  return at(low);
}

StatCacheBuilder::StatCacheBuilder(const std::string& root_path) : root_path_(root_path) {
  bytes_.assign(sizeof(Header), '\0');
  bytes_ += root_path;
}

void StatCacheBuilder::reserve(size_t records, size_t path_bytes) {
  bytes_.reserve(bytes_.size() + records * sizeof(RecordHead) + path_bytes);
}

void StatCacheBuilder::add(const StatRecord& record) {
  SLIPWAY_CHECK(record.path.size() <= UINT32_MAX);
  RecordHead head{};
  head.path_size = static_cast<uint32_t>(record.path.size());
  head.flags = record.trusted ? flag_trusted : 0;
  head.identity = record.identity;
  std::memcpy(head.digest, record.digest.bytes.data(), sizeof head.digest);
  bytes_.append(reinterpret_cast<const char*>(&head), sizeof head);
  bytes_ += record.path;
  ++count_;
}

std::shared_ptr<const StatCache> StatCacheBuilder::finish() {
  Header header{};
  std::memcpy(header.magic, magic.data(), magic.size());
  header.root_size = static_cast<uint32_t>(root_path_.size());
  header.count = count_;
  std::memcpy(bytes_.data(), &header, sizeof header);
  header.crc32 = checksum(bytes_);
  std::memcpy(bytes_.data(), &header, sizeof header);
  auto cache = StatCache::parse(std::move(bytes_), root_path_);
  SLIPWAY_CHECK(cache);
  return cache;
}

}  // namespace slipway::cache
