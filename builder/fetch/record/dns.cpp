#include "record/dns.h"

#include <cstddef>
#include <cstdint>

namespace slipway::record {
namespace {

constexpr size_t header_size = 12;
constexpr size_t name_size_max = 255;
constexpr uint16_t type_a = 1, type_any = 255;
constexpr uint16_t class_internet = 1, class_any = 255;
constexpr uint8_t no_error = 0, format_error = 1, no_such_name = 3, not_implemented = 4;
constexpr std::string_view answer_record(
    "\xc0\x0c"          // the name of the question
    "\x00\x01\x00\x01"  // A, IN
    "\x00\x00\x00\x3c"  // 60 seconds
    "\x00\x04\xc6\x12\x00\x01",
    16);

uint16_t number_at(std::string_view text, size_t at) {
  return static_cast<uint16_t>((static_cast<uint8_t>(text[at]) << 8) |
                               static_cast<uint8_t>(text[at + 1]));
}

/// The offset after the name at `at`; 0 when it is no name. Questions have no reason to compress.
size_t skip_name(std::string_view message, size_t at) {
  const size_t start = at;
  while (at < message.size() && at - start < name_size_max) {
    const auto label = static_cast<uint8_t>(message[at]);
    if (label == 0) return at + 1;
    if (label > 63) return 0;
    at += 1 + label;
  }
  return 0;
}

std::string reply_to(std::string_view query, std::string_view question, uint8_t code,
                     bool with_address) {
  std::string reply(query.substr(0, 2));
  // An answer; opcode and "recursion desired" as asked; recursion is available.
  reply += static_cast<char>(0x80 | (static_cast<uint8_t>(query[2]) & 0x79));
  reply += static_cast<char>(0x80 | code);
  reply.append({0, static_cast<char>(question.empty() ? 0 : 1)});
  reply.append({0, static_cast<char>(with_address ? 1 : 0)});
  reply.append(4, '\0');
  reply += question;
  if (with_address) reply += answer_record;
  return reply;
}

/// "4.3.2.1.in-addr.arpa" and "….ip6.arpa": addresses have no names here.
bool is_reverse(std::string_view question) {
  return question.find(
             "\x04"
             "arpa") != std::string_view::npos;
}

}  // namespace

std::optional<std::string> answer_dns(std::string_view query) {
  if (query.size() < header_size) return std::nullopt;
  const auto flags = static_cast<uint8_t>(query[2]);
  if ((flags & 0x80) != 0) return std::nullopt;
  if ((flags & 0x78) != 0) return reply_to(query, {}, not_implemented, false);
  if (number_at(query, 4) != 1) return reply_to(query, {}, format_error, false);
  const size_t end = skip_name(query, header_size);
  if (end == 0 || end + 4 > query.size()) return reply_to(query, {}, format_error, false);
  const std::string_view question = query.substr(header_size, end + 4 - header_size);
  const uint16_t type = number_at(query, end), kind = number_at(query, end + 2);
  if (is_reverse(question)) return reply_to(query, question, no_such_name, false);
  const bool address =
      (type == type_a || type == type_any) && (kind == class_internet || kind == class_any);
  return reply_to(query, question, no_error, address);
}

}  // namespace slipway::record
