#include "record/dns.h"

#include <cstdint>

using slipway::record::answer_dns;

namespace {

std::string query(const std::string& name, uint16_t type) {
  std::string text("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  for (size_t at = 0; at < name.size();) {
    const size_t dot = std::min(name.find('.', at), name.size());
    text += static_cast<char>(dot - at);
    text += name.substr(at, dot - at);
    at = dot + 1;
  }
  text += '\0';
  text += static_cast<char>(type >> 8);
  text += static_cast<char>(type & 255);
  text.append("\0\1", 2);
  return text;
}

}  // namespace

TEST_CASE("dns: every name has the recorder's address") {
  const std::string asked = query("example.com", 1);
  const auto reply = answer_dns(asked);
  REQUIRE(reply);
  CHECK(reply->substr(0, 2) == "\x12\x34");
  CHECK(reply->substr(2, 10) == std::string("\x81\x80\0\1\0\1\0\0\0\0", 10));
  CHECK(reply->substr(12, asked.size() - 12) == asked.substr(12));
  CHECK(reply->substr(reply->size() - 4) == std::string("\xc6\x12\0\1", 4));
}

TEST_CASE("dns: other types have no records, addresses no names") {
  const auto six = answer_dns(query("example.com", 28));
  REQUIRE(six);
  CHECK(six->substr(2, 10) == std::string("\x81\x80\0\1\0\0\0\0\0\0", 10));
  const auto reverse = answer_dns(query("1.0.0.127.in-addr.arpa", 12));
  REQUIRE(reverse);
  CHECK(((*reverse)[3] & 15) == 3);
}

TEST_CASE("dns: what is no query gets an error or nothing") {
  const std::string good = query("example.com", 1);
  CHECK_FALSE(answer_dns(""));
  CHECK_FALSE(answer_dns(good.substr(0, 11)));
  std::string answer = good;
  answer[2] = static_cast<char>(0x81);
  CHECK_FALSE(answer_dns(answer));
  for (size_t size = 12; size < good.size(); ++size) {
    const auto reply = answer_dns(good.substr(0, size));
    REQUIRE(reply);
    CHECK(((*reply)[3] & 15) == 1);
  }
  std::string compressed = good;
  compressed[12] = static_cast<char>(0xc0);
  REQUIRE(answer_dns(compressed));
  CHECK(((*answer_dns(compressed))[3] & 15) == 1);
  std::string update = good;
  update[2] = static_cast<char>(0x28);
  CHECK(((*answer_dns(update))[3] & 15) == 4);
}
