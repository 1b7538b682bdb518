#include "archive/tar_header.h"

#include <cstring>
#include <string_view>

namespace slipway::archive {
namespace {

constexpr size_t name_field_bytes = 100;

// Layout of old GNU headers, see GNU tar's tar.h (struct posix_header, OLDGNU_MAGIC).
struct Header {
  char name[name_field_bytes];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link[name_field_bytes];
  char magic[8];
  char user[32];
  char group[32];
  char device_major[8];
  char device_minor[8];
  char prefix[155];
  char fill[12];
};
static_assert(sizeof(Header) == tar_block_bytes);

// Octal digits and a NUL; a number that does not fit (or is negative) as big-endian base 256 with
// the top bit set, as GNU tar does it.
template <size_t size>
void put_number(char (&field)[size], int64_t value) {
  const bool fits = value >= 0 && (static_cast<uint64_t>(value) >> (3 * (size - 1))) == 0;
  if (fits) {
    auto rest = static_cast<uint64_t>(value);
    field[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; rest >>= 3) field[i] = static_cast<char>('0' + (rest & 7));
    return;
  }
  for (size_t i = size; i-- > 0; value >>= 8) field[i] = static_cast<char>(value & 0xff);
  field[0] = static_cast<char>(value < 0 ? 0xff : 0x80);
}

template <size_t size>
void put_text(char (&field)[size], std::string_view text) {
  text.copy(field, size);
}

void append_header(std::string& out, Header& header) {
  std::memcpy(header.magic, "ustar  ", 8);
  std::memset(header.checksum, ' ', sizeof header.checksum);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof header; ++i) sum += bytes[i];
  for (int i = 5; i >= 0; --i, sum >>= 3) header.checksum[i] = static_cast<char>('0' + (sum & 7));
  header.checksum[6] = '\0';
  header.checksum[7] = ' ';
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
}

// A member that carries the long name (type L) or long link text (type K) of the next one.
void append_long(std::string& out, char type, std::string_view text) {
  Header header{};
  put_text(header.name, "././@LongLink");
  put_number(header.mode, 0644);
  put_number(header.uid, 0);
  put_number(header.gid, 0);
  put_number(header.size, static_cast<int64_t>(text.size() + 1));
  put_number(header.mtime, 0);
  put_text(header.user, "root");
  put_text(header.group, "root");
  header.type = type;
  append_header(out, header);
  out.append(text);
  out.append(tar_padded(text.size() + 1) - text.size(), '\0');
}

uint64_t long_size(size_t text_size) {
  return text_size <= name_field_bytes ? 0 : tar_block_bytes + tar_padded(text_size + 1);
}

size_t member_name_size(const TreeEntry& entry) {
  return entry.path.size() + (entry.type == EntryType::directory ? 1 : 0);
}

char type_flag(EntryType type) {
  switch (type) {
    case EntryType::directory:
      return '5';
    case EntryType::symlink:
      return '2';
    case EntryType::file:
      break;
  }
  return '0';
}

}  // namespace

uint64_t tar_header_size(const TreeEntry& entry) {
  const size_t link_size = entry.type == EntryType::symlink ? entry.link.size() : 0;
  return long_size(link_size) + long_size(member_name_size(entry)) + tar_block_bytes;
}

void append_tar_header(std::string& out, const TreeEntry& entry) {
  std::string name = entry.path;
  if (entry.type == EntryType::directory) name += '/';
  const std::string_view link =
      entry.type == EntryType::symlink ? std::string_view(entry.link) : std::string_view();
  if (link.size() > name_field_bytes) append_long(out, 'K', link);
  if (name.size() > name_field_bytes) append_long(out, 'L', name);

  Header header{};
  put_text(header.name, name);
  put_number(header.mode, entry.mode & 07777);
  put_number(header.uid, entry.uid);
  put_number(header.gid, entry.gid);
  put_number(header.size,
             entry.type == EntryType::file ? static_cast<int64_t>(entry.size) : int64_t{0});
  constexpr int64_t second_ns = 1'000'000'000;
  int64_t seconds = entry.mtime_ns / second_ns;
  if (entry.mtime_ns % second_ns < 0) --seconds;
  put_number(header.mtime, seconds);
  header.type = type_flag(entry.type);
  put_text(header.link, link);
  if (entry.uid == 0) put_text(header.user, "root");
  if (entry.gid == 0) put_text(header.group, "root");
  append_header(out, header);
}

}  // namespace slipway::archive
