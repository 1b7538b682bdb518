#include "archive/layer_listing.h"

#include <stdexcept>

#include "archive/binary_form.h"
#include "base/error.h"
#include "base/text.h"

// Binary form, version 1. Numbers are LEB128 varints, signed ones zigzag; `bytes` is a number and
// that many bytes.
//
//   listing = "slipway-layer 1\n" count:number entry*
//   entry   = type:byte flags:byte shared:number suffix:bytes mode:number uid:number gid:number
//             mtime:signed [size:number] [digest:32 bytes] [link:bytes] [major:number minor:number]
//             [count:number (name:bytes value:bytes)*]
//
// `shared` counts the leading bytes of the path that equal those of the entry before; flags say
// which of the optional fields follow.
namespace slipway::archive {
namespace {

constexpr std::string_view magic = "slipway-layer 1\n";
constexpr uint8_t has_size = 1, has_digest = 2, has_link = 4, has_device = 8, has_attributes = 16;
constexpr uint8_t known_flags = has_size | has_digest | has_link | has_device | has_attributes;

[[noreturn]] void malformed(std::string_view what) {
  fail(ExitCode::machine, "malformed layer listing: {}", what);
}

uint8_t flags_of(const LayerEntry& entry) {
  unsigned flags = 0;
  if (entry.size != 0) flags |= has_size;
  if (entry.digest) flags |= has_digest;
  if (!entry.link.empty()) flags |= has_link;
  if (entry.device_major != 0 || entry.device_minor != 0) flags |= has_device;
  if (!entry.attributes.empty()) flags |= has_attributes;
  return static_cast<uint8_t>(flags);
}

LayerEntry parse_entry(FormReader& reader, std::string_view previous) {
  LayerEntry entry;
  const uint8_t type = reader.byte();
  if (type > static_cast<uint8_t>(LayerEntryType::whiteout)) malformed("unknown kind of entry");
  entry.type = static_cast<LayerEntryType>(type);
  const uint8_t flags = reader.byte();
  if ((flags & ~known_flags) != 0) malformed("unknown field");
  const uint64_t shared = reader.number();
  if (shared > previous.size()) malformed("path out of range");
  entry.path = previous.substr(0, static_cast<size_t>(shared));
  entry.path += reader.bytes();
  if (!is_plain_path(entry.path)) malformed("path '" + printable(entry.path) + "'");
  if (entry.path <= previous) malformed("entries out of order");
  entry.mode = reader.number32();
  if (entry.mode > 07777) malformed("mode out of range");
  entry.uid = reader.number32();
  entry.gid = reader.number32();
  entry.mtime = reader.signed_number();
  if ((flags & has_size) != 0) entry.size = reader.number();
  if ((flags & has_digest) != 0) entry.digest = reader.digest();
  if ((flags & has_link) != 0) entry.link = reader.bytes();
  if ((flags & has_device) != 0) {
    entry.device_major = reader.number32();
    entry.device_minor = reader.number32();
  }
  if ((flags & has_attributes) != 0) {
    const uint64_t count = reader.number();
    for (uint64_t i = 0; i < count; ++i) {
      std::string name(reader.bytes());
      entry.attributes.emplace_back(std::move(name), std::string(reader.bytes()));
    }
  }
  return entry;
}

}  // namespace

uint64_t LayerListing::total_size() const {
  uint64_t total = 0;
  for (const LayerEntry& entry : entries) total += entry.size;
  return total;
}

std::string whiteout_path(std::string_view hidden) {
  const size_t name = hidden.rfind('/') + 1;  // npos + 1 = 0
  std::string path(hidden.substr(0, name));
  path += whiteout_prefix;
  path += hidden.substr(name);
  return path;
}

std::string serialize_listing(const LayerListing& listing) {
  std::string out(magic);
  out.reserve(magic.size() + 16 + listing.entries.size() * 96);
  put_number(out, listing.entries.size());
  std::string_view previous;
  for (const LayerEntry& entry : listing.entries) {
    if (!is_plain_path(entry.path) || entry.path <= previous)
      throw std::logic_error("layer entry '" + printable(entry.path) +
                             "' is not a plain path in sorted order");
    SLIPWAY_CHECK(entry.mode <= 07777);
    const uint8_t flags = flags_of(entry);
    out += static_cast<char>(entry.type);
    out += static_cast<char>(flags);
    const size_t shared = shared_prefix(previous, entry.path);
    put_number(out, shared);
    put_bytes(out, std::string_view(entry.path).substr(shared));
    put_number(out, entry.mode);
    put_number(out, entry.uid);
    put_number(out, entry.gid);
    put_signed(out, entry.mtime);
    if ((flags & has_size) != 0) put_number(out, entry.size);
    if ((flags & has_digest) != 0) put_digest(out, entry.digest);
    if ((flags & has_link) != 0) put_bytes(out, entry.link);
    if ((flags & has_device) != 0) {
      put_number(out, entry.device_major);
      put_number(out, entry.device_minor);
    }
    if ((flags & has_attributes) != 0) {
      put_number(out, entry.attributes.size());
      for (const auto& [name, value] : entry.attributes) {
        put_bytes(out, name);
        put_bytes(out, value);
      }
    }
    previous = entry.path;
  }
  return out;
}

LayerListing parse_listing(std::string_view data) {
  if (!starts_with(data, magic)) malformed("unknown version");
  FormReader reader(data.substr(magic.size()), malformed);
  const uint64_t count = reader.number();
  // An entry takes at least eight bytes: a made-up count must not make us reserve (threat 7).
  if (count > reader.left() / 8) malformed("cut short");
  LayerListing listing;
  listing.entries.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view previous =
        i == 0 ? std::string_view() : std::string_view(listing.entries.back().path);
    listing.entries.push_back(parse_entry(reader, previous));
  }
  if (!reader.done()) malformed("bytes after the last entry");
  return listing;
}

}  // namespace slipway::archive
