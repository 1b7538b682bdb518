#include "dockerfile/expose.h"

#include <arpa/inet.h>
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text.h"
#include "dockerfile/keyword.h"

namespace slipway::dockerfile {
namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& problem) {
  throw Error(ExitCode::app_files, fmt::format("'{}' is no port: {}", printable(text), problem))
      .set_hint("write 8080, 53/udp or 8000-8010");
}

struct Range {
  int first = 0, last = 0;
};

int parse_number(std::string_view text, std::string_view number) {
  int value = 0;
  const auto [end, problem] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (problem != std::errc() || end != number.data() + number.size() || number.empty() ||
      value < 0 || value > 65535)
    refuse(text, fmt::format("'{}' is no number from 0 to 65535", printable(number)));
  return value;
}

Range parse_range(std::string_view text, std::string_view range) {
  const size_t dash = range.find('-');
  Range ports;
  ports.first = parse_number(text, range.substr(0, dash));
  ports.last =
      dash == std::string_view::npos ? ports.first : parse_number(text, range.substr(dash + 1));
  if (ports.last < ports.first) refuse(text, "the range ends before it begins");
  return ports;
}

void check_address(std::string_view text, std::string address) {
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  unsigned char bytes[sizeof(in6_addr)];
  if (inet_pton(AF_INET, address.c_str(), bytes) != 1 &&
      inet_pton(AF_INET6, address.c_str(), bytes) != 1)
    refuse(text, fmt::format("'{}' is no address", printable(address)));
}

}  // namespace

ExposedPorts parse_exposed(std::string_view text) {
  std::string_view port = text, host, address;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    port = text.substr(colon + 1);
    host = text.substr(0, colon);
    if (const size_t second = host.rfind(':'); second != std::string_view::npos) {
      address = host.substr(0, second);
      host = host.substr(second + 1);
    }
  }
  const size_t slash = port.find('/');
  const std::string written =
      slash == std::string_view::npos ? "" : std::string(port.substr(slash + 1));
  const std::string protocol = written.empty() ? "tcp" : lower_case(written);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp")
    refuse(text, fmt::format("'{}' is none of tcp, udp, sctp", printable(written)));
  const Range ports = parse_range(text, port.substr(0, slash));
  if (!address.empty()) check_address(text, std::string(address));
  if (!host.empty()) {
    const Range of_host = parse_range(text, host);
    if (ports.last - ports.first != of_host.last - of_host.first && ports.last != ports.first)
      refuse(text, "the ranges differ in length");
  }
  ExposedPorts exposed;
  exposed.has_mapping = !host.empty() || !address.empty();
  exposed.has_capitals = !written.empty() && written != protocol;
  for (int number = ports.first; number <= ports.last; ++number)
    exposed.ports.push_back(fmt::format("{}/{}", number, protocol));
  return exposed;
}

}  // namespace slipway::dockerfile
