// What every user of libcurl here shares: starting it, whom TLS trusts, headers, and which failures
// are worth another attempt.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace slipway::netfetch {

/// Worth another attempt.
class Transient : public Error {
 public:
  explicit Transient(std::string cause, std::chrono::seconds retry_after = {})
      : Error(ExitCode::outside, std::move(cause)), retry_after_(retry_after) {}
  /// What the server asked for; 0 = nothing.
  std::chrono::seconds retry_after() const { return retry_after_; }
  /// Nobody answered at all: the name is unknown, or the port closed.
  bool unreachable() const { return unreachable_; }
  Transient&& set_unreachable() && {
    unreachable_ = true;
    return std::move(*this);
  }

 private:
  std::chrono::seconds retry_after_;
  bool unreachable_ = false;
};

struct CurlDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// Once a process; throws Error(machine).
void start_curl();
/// curl_easy_setopt that throws Error(machine).
template <typename Value>
void set_option(CURL* handle, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(handle, option, value);
  if (code != CURLE_OK) fail(ExitCode::machine, "libcurl: {}", curl_easy_strerror(code));
}
/// http and https, no redirects of curl's own, our name, a limit for connecting and for silence
/// (fewer than one byte a second for stall_limit).
void set_common_options(CURL* handle, std::chrono::seconds stall_limit);

/// Whom to trust besides libcurl's own bundle: the files SSL_CERT_FILE and CURL_CA_BUNDLE name,
/// both when both are set (a build machine sets one, its user the other), as PEM; empty when
/// neither is. With `more`, PEM of one's own, the system's bundle is in the answer as well. Throws
/// Error(machine) naming the variable whose file cannot be read.
std::string trusted_certificates(const std::string& more = {});
/// Takes `pem` for the whole list of trusted certificates; empty = libcurl's own.
void set_trusted(CURL* handle, const std::string& pem);

/// "404 Not Found"
std::string status_text(long status);
/// A header's value when `line` is that header.
std::optional<std::string> header_value(std::string_view line, std::string_view name);
std::optional<uint64_t> parse_number(std::string_view text);
/// Retry-After, in seconds or as a date; 0 when it is neither.
std::chrono::seconds parse_retry_after(const std::string& value);

/// Why a transfer failed, as Transient when another attempt may help; `doing` is "GET https://…".
/// `words` is the error buffer's text, which may be empty.
[[noreturn]] void fail_transfer(const std::string& doing, CURLcode code, const char* words);

}  // namespace slipway::netfetch
