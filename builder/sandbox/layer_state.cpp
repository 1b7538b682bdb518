#include "sandbox/layer_state.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace slipway::sandbox {
namespace {

constexpr std::string_view magic = "slipway-scan 1\n";

void put_number(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
// Zigzag: small negative numbers stay short.
void put_signed(std::string& out, int64_t value) {
  put_number(out, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

[[noreturn]] void malformed() {
  fail(ExitCode::machine, "the state of an earlier scan is damaged");
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  std::string_view bytes(uint64_t size) {
    if (size > rest_.size()) malformed();
    const std::string_view part = rest_.substr(0, static_cast<size_t>(size));
    rest_.remove_prefix(part.size());
    return part;
  }
  uint64_t number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    malformed();
  }
  int64_t signed_number() {
    const uint64_t value = number();
    return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  uint32_t number32() {
    const uint64_t value = number();
    if (value > UINT32_MAX) malformed();
    return static_cast<uint32_t>(value);
  }

 private:
  std::string_view rest_;
};

}  // namespace

const SeenEntry* ScanState::find(std::string_view path) const {
  const auto at = std::lower_bound(
      entries.begin(), entries.end(), path,
      [](const SeenEntry& entry, std::string_view wanted) { return entry.path < wanted; });
  return at != entries.end() && at->path == path ? &*at : nullptr;
}

std::string serialize_state(const ScanState& state) {
  std::string out(magic);
  put_signed(out, state.trusted_before_ns);
  put_number(out, state.entries.size());
  std::string_view before;
  int64_t time_before = 0;
  for (const SeenEntry& entry : state.entries) {
    // Neighbours share most of their path and were written at about the same time.
    const auto split =
        std::mismatch(before.begin(), before.end(), entry.path.begin(), entry.path.end());
    const auto shared = static_cast<size_t>(split.first - before.begin());
    put_number(out, shared);
    put_number(out, entry.path.size() - shared);
    out.append(entry.path, shared);
    out += static_cast<char>(entry.type);
    put_number(out, entry.inode);
    put_number(out, entry.mode);
    put_number(out, entry.uid);
    put_number(out, entry.gid);
    put_number(out, entry.size);
    put_signed(out, entry.mtime_ns);
    put_signed(out, entry.ctime_ns - time_before);
    if (entry.type == archive::EntryType::file)
      out.append(reinterpret_cast<const char*>(entry.digest.bytes.data()),
                 entry.digest.bytes.size());
    before = entry.path;
    time_before = entry.ctime_ns;
  }
  return out;
}

ScanState parse_state(std::string_view text) {
  ScanState state;
  if (text.empty()) return state;
  Reader reader(text);
  if (text.size() < magic.size() || reader.bytes(magic.size()) != magic) malformed();
  state.trusted_before_ns = reader.signed_number();
  const uint64_t count = reader.number();
  if (count > text.size()) malformed();
  state.entries.reserve(static_cast<size_t>(count));
  int64_t time_before = 0;
  for (uint64_t i = 0; i < count; ++i) {
    SeenEntry entry;
    const std::string_view before =
        state.entries.empty() ? std::string_view() : state.entries.back().path;
    const uint64_t shared = reader.number();
    if (shared > before.size()) malformed();
    entry.path = before.substr(0, static_cast<size_t>(shared));
    entry.path += reader.bytes(reader.number());
    if (i > 0 && entry.path <= before) malformed();
    const auto type = static_cast<uint8_t>(reader.bytes(1)[0]);
    if (type > static_cast<uint8_t>(archive::EntryType::symlink)) malformed();
    entry.type = static_cast<archive::EntryType>(type);
    entry.inode = reader.number();
    entry.mode = reader.number32();
    entry.uid = reader.number32();
    entry.gid = reader.number32();
    entry.size = reader.number();
    entry.mtime_ns = reader.signed_number();
    entry.ctime_ns = static_cast<int64_t>(static_cast<uint64_t>(reader.signed_number()) +
                                          static_cast<uint64_t>(time_before));
    time_before = entry.ctime_ns;
    if (entry.type == archive::EntryType::file)
      std::memcpy(entry.digest.bytes.data(), reader.bytes(entry.digest.bytes.size()).data(),
                  entry.digest.bytes.size());
    state.entries.push_back(std::move(entry));
  }
  if (!reader.done()) malformed();
  return state;
}

}  // namespace slipway::sandbox
