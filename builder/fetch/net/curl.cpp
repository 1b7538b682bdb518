#include "netfetch/curl.h"

#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <map>
#include <mutex>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::netfetch {
namespace {

constexpr long connect_timeout_s = 30;
constexpr size_t bundle_bytes_max = 16 << 20;
constexpr std::array trust_variables = {"SSL_CERT_FILE", "CURL_CA_BUNDLE"};

std::string read_bundle(const std::string& path, const std::string& named_by) {
  try {
    return read_file(path, bundle_bytes_max) + "\n";
  } catch (const Error& error) {
    throw Error(ExitCode::machine, fmt::format("the certificates {} names cannot be read: {}",
                                               named_by, error.what()));
  }
}

}  // namespace

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) fail(ExitCode::machine, "libcurl: {}", curl_easy_strerror(started));
}

void set_common_options(CURL* handle, std::chrono::seconds stall_limit) {
#if LIBCURL_VERSION_NUM >= 0x075500
  set_option(handle, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  set_option(handle, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  // Hops are ours: what may be sent where is decided for each.
  set_option(handle, CURLOPT_FOLLOWLOCATION, 0L);
  set_option(handle, CURLOPT_NOSIGNAL, 1L);
  set_option(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  set_option(handle, CURLOPT_USERAGENT, "slipway/" SLIPWAY_VERSION);
  set_option(handle, CURLOPT_CONNECTTIMEOUT, connect_timeout_s);
  set_option(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set_option(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(stall_limit.count()));
}

std::string trusted_certificates(const std::string& more) {
  std::string pem;
  for (const char* name : trust_variables) {
    const char* path = std::getenv(name);
    if (path != nullptr && *path != '\0') pem += read_bundle(path, name);
  }
  if (more.empty()) return pem;
  if (pem.empty()) {
    const char* system = curl_version_info(CURLVERSION_NOW)->cainfo;
    if (system != nullptr && fs::exists(system)) pem = read_bundle(system, "libcurl");
  }
  return pem + more;
}

void set_trusted(CURL* handle, const std::string& pem) {
  if (pem.empty()) return;
  // A file without a name, not CURLOPT_CAINFO_BLOB: the GnuTLS flavour of libcurl lacks that. It is
  // read at every connection, so it stays.
  static std::mutex mutex;
  static std::map<std::string, Fd> files;
  const std::lock_guard lock(mutex);
  Fd& file = files[pem];
  if (!file) {
    Fd made(memfd_create("slipway-certificates", MFD_CLOEXEC));
    if (!made) fail_errno("memfd_create");
    write_all(made.get(), pem);
    file = std::move(made);
  }
  set_option(handle, CURLOPT_CAINFO, fmt::format("/proc/self/fd/{}", file.get()).c_str());
}

std::string status_text(long status) {
  switch (status) {
    case 400:
      return "400 Bad Request";
    case 401:
      return "401 Unauthorized";
    case 403:
      return "403 Forbidden";
    case 404:
      return "404 Not Found";
    case 405:
      return "405 Method Not Allowed";
    case 407:
      return "407 Proxy Authentication Required";
    case 410:
      return "410 Gone";
    case 413:
      return "413 Content Too Large";
    case 416:
      return "416 Range Not Satisfiable";
    case 429:
      return "429 Too Many Requests";
    case 500:
      return "500 Internal Server Error";
    case 502:
      return "502 Bad Gateway";
    case 503:
      return "503 Service Unavailable";
    case 504:
      return "504 Gateway Timeout";
    default:
      return std::to_string(status);
  }
}

std::optional<std::string> header_value(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return std::nullopt;
  for (size_t i = 0; i < name.size(); ++i)
    if ((line[i] | 0x20) != (name[i] | 0x20)) return std::nullopt;
  return std::string(trim(line.substr(name.size() + 1)));
}

std::optional<uint64_t> parse_number(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

std::chrono::seconds parse_retry_after(const std::string& value) {
  constexpr uint64_t year_s = 365 * 24 * 3600;
  if (const auto seconds = parse_number(value))
    return std::chrono::seconds(std::min(*seconds, year_s));
  const time_t date = curl_getdate(value.c_str(), nullptr);
  const time_t now = time(nullptr);
  return std::chrono::seconds(date > now ? date - now : 0);
}

void fail_transfer(const std::string& doing, CURLcode code, const char* words) {
  const std::string cause = doing + ": " + (*words != '\0' ? words : curl_easy_strerror(code));
  constexpr const char* network_hint =
      "check the network and the proxy settings (http_proxy, https_proxy, no_proxy)";
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: {
      Transient error = Transient(cause).set_unreachable();
      error.set_hint(network_hint);
      throw error;
    }
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR: {
      Transient error(cause);
      error.set_hint(network_hint);
      throw error;
    }
    case CURLE_PEER_FAILED_VERIFICATION:
      throw Error(ExitCode::outside, cause)
          .set_hint(
              "if a proxy of your company inspects TLS, add its CA to the system's bundle or "
              "name it in SSL_CERT_FILE");
    default:
      throw Error(ExitCode::outside, cause);
  }
}

}  // namespace slipway::netfetch
