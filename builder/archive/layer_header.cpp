#include "archive/layer_header.h"

#include <cstring>
#include <map>
#include <string_view>

#include "archive/tar_header.h"

namespace slipway::archive {
namespace {

// POSIX.1-1988 (ustar) header; see pax(1), "ustar Interchange Format".
struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char user[32];
  char group[32];
  char device_major[8];
  char device_minor[8];
  char prefix[155];
  char fill[12];
};
static_assert(sizeof(Header) == tar_block_bytes);

// Records in the order of their keys.
using Records = std::map<std::string, std::string, std::less<>>;

template <size_t size>
bool fits(const char (&)[size], int64_t value) {
  return value >= 0 && (static_cast<uint64_t>(value) >> (3 * (size - 1))) == 0;
}

// What does not fit has a record and is zero here.
template <size_t size>
void put_number(char (&field)[size], int64_t value) {
  auto rest = fits(field, value) ? static_cast<uint64_t>(value) : 0;
  field[size - 1] = '\0';
  for (size_t i = size - 1; i-- > 0; rest >>= 3) field[i] = static_cast<char>('0' + (rest & 7));
}

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

template <size_t size>
bool fits(const char (&)[size], std::string_view text) {
  return text.size() <= size && std::all_of(text.begin(), text.end(), is_ascii);
}

// Readers without PAX see the ASCII part of what does not fit.
template <size_t size>
void put_text(char (&field)[size], std::string_view text) {
  size_t at = 0;
  for (const char c : text)
    if (at < size && is_ascii(c)) field[at++] = c;
}

void append_block(std::string& out, Header& header) {
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  std::memset(header.checksum, ' ', sizeof header.checksum);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof header; ++i) sum += bytes[i];
  for (int i = 5; i >= 0; --i, sum >>= 3) header.checksum[i] = static_cast<char>('0' + (sum & 7));
  header.checksum[6] = '\0';
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
}

// "<length> <key>=<value>\n", where the length counts itself.
void append_record(std::string& out, std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (fmt::formatted_size("{}", length) + rest != length) ++length;
  fmt::format_to(std::back_inserter(out), "{} ", length);
  out.append(key).append(1, '=').append(value).append(1, '\n');
}

void append_records(std::string& out, std::string_view name, const Records& records) {
  std::string text;
  for (const auto& [key, value] : records) append_record(text, key, value);
  // "a/b/" and "a/b" → "a/b/PaxHeaders.0", "a/PaxHeaders.0/b"
  const size_t slash = name.rfind('/') + 1;
  std::string place(name.substr(0, slash));
  place += "PaxHeaders.0";
  if (slash < name.size()) place.append(1, '/').append(name.substr(slash));
  Header header{};
  put_text(header.name, place);
  for (size_t i = sizeof header.name; i-- > 0 && (header.name[i] == '/' || header.name[i] == '\0');)
    header.name[i] = '\0';
  put_number(header.mode, 0);
  put_number(header.uid, 0);
  put_number(header.gid, 0);
  put_number(header.size, static_cast<int64_t>(text.size()));
  put_number(header.mtime, 0);
  header.type = 'x';
  append_block(out, header);
  out.append(text);
  out.append(tar_padded(text.size()) - text.size(), '\0');
}

char type_flag(LayerEntryType type) {
  switch (type) {
    case LayerEntryType::file:
    case LayerEntryType::whiteout:
      return '0';
    case LayerEntryType::hard_link:
      return '1';
    case LayerEntryType::symlink:
      return '2';
    case LayerEntryType::character_device:
      return '3';
    case LayerEntryType::block_device:
      return '4';
    case LayerEntryType::directory:
      return '5';
    case LayerEntryType::fifo:
      return '6';
  }
  return '0';
}

template <size_t size>
void put_number_or_record(char (&field)[size], int64_t value, const char* key, Records& records) {
  put_number(field, value);
  if (!fits(field, value)) records.emplace(key, std::to_string(value));
}

template <size_t size>
void put_text_or_record(char (&field)[size], std::string_view text, const char* key,
                        Records& records) {
  put_text(field, text);
  if (!fits(field, text)) records.emplace(key, text);
}

}  // namespace

void append_layer_header(std::string& out, const LayerEntry& entry) {
  std::string name = entry.path;
  if (entry.type == LayerEntryType::directory) name += '/';
  const bool is_file = entry.type == LayerEntryType::file;
  Records records;
  Header header{};
  put_text_or_record(header.name, name, "path", records);
  put_number(header.mode, entry.mode & 07777);
  put_number_or_record(header.uid, entry.uid, "uid", records);
  put_number_or_record(header.gid, entry.gid, "gid", records);
  put_number_or_record(header.size, is_file ? static_cast<int64_t>(entry.size) : 0, "size",
                       records);
  put_number_or_record(header.mtime, entry.mtime, "mtime", records);
  header.type = type_flag(entry.type);
  put_text_or_record(header.link, entry.link, "linkpath", records);
  put_number(header.device_major, entry.device_major);
  put_number(header.device_minor, entry.device_minor);
  for (const auto& [key, value] : entry.attributes) records.emplace("SCHILY.xattr." + key, value);
  if (!records.empty()) append_records(out, name, records);
  append_block(out, header);
}

}  // namespace slipway::archive
