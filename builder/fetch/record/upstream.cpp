#include "record/upstream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>

#include "base/text.h"
#include "fetch/url.h"
#include "netfetch/connection.h"

namespace slipway::record {
namespace {

constexpr size_t header_bytes_max = 256 << 10;
constexpr size_t header_count_max = 500;
constexpr long receive_buffer_bytes = 128 << 10;
constexpr size_t idle_max = 64;
constexpr auto idle_limit = std::chrono::seconds(60);

using Handle = std::unique_ptr<CURL, netfetch::CurlDeleter>;

/// This machine itself, or its neighbours on the wire (a cloud's metadata service).
bool is_own_address(const sockaddr* address) {
  const auto own_v4 = [](uint32_t host) {
    return host >> 24 == 127 || host >> 24 == 0 || host >> 16 == 0xa9fe;
  };
  if (address->sa_family == AF_INET)
    return own_v4(ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
  if (address->sa_family != AF_INET6) return true;
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    uint32_t mapped = 0;
    std::memcpy(&mapped, v6.s6_addr + 12, sizeof mapped);
    return own_v4(ntohl(mapped));
  }
  return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6);
}

long port_of(const sockaddr* address) {
  return address->sa_family == AF_INET
             ? ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port)
             : ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
}

std::vector<long> own_proxy_ports() {
  std::vector<long> ports;
  for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string text = value;
    const auto url =
        fetch::parse_url(text.find("://") == std::string::npos ? "http://" + text : text);
    if (url && netfetch::is_loopback(url->host))
      ports.push_back(url->port.empty() ? 1080 : std::strtol(url->port.c_str(), nullptr, 10));
  }
  return ports;
}

/// What libcurl's callbacks work on.
struct Transfer {
  CURL* handle = nullptr;
  const UpstreamCall* call = nullptr;
  const std::atomic<bool>* stop = nullptr;
  const std::vector<long>* proxy_ports = nullptr;
  bool allow_own = false, refused = false;
  UpstreamHead head;
  size_t header_bytes = 0;
  bool head_done = false;
  std::exception_ptr failure;

  void take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > header_bytes_max || head.headers.size() > header_count_max)
      fail(ExitCode::outside, "its headers do not end");
    // Trailers say nothing that a client waits for.
    if (head_done) return;
    if (starts_with(line, "HTTP/")) {
      head.headers.clear();
      return;
    }
    if (trim(line).empty()) {
      finish_head();
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    head.headers.emplace_back(lower_case(trim(line.substr(0, colon))),
                              printable(trim(line.substr(colon + 1))));
  }
  void finish_head() {
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || head_done) return;
    head_done = true;
    head.status = static_cast<int>(status);
    if (const std::string* length = find_header(head.headers, "content-length"))
      head.length = netfetch::parse_number(*length);
    if (find_header(head.headers, "transfer-encoding") != nullptr) head.length.reset();
    call->on_head(head);
  }

  /// C code lies between the callbacks and whoever can handle an exception.
  template <typename Work>
  size_t guarded(size_t on_failure, Work work) noexcept {
    try {
      return work();
    } catch (...) {
      failure = std::current_exception();
      return on_failure;
    }
  }
  static Transfer& of(void* self) { return *static_cast<Transfer*>(self); }
  static size_t on_body(char* data, size_t size, size_t count, void* self) {
    return of(self).guarded(0, [&] {
      of(self).call->on_body(data, size * count);
      return size * count;
    });
  }
  static size_t on_read(char* data, size_t size, size_t count, void* self) {
    return of(self).guarded(CURL_READFUNC_ABORT,
                            [&] { return of(self).call->read(data, size * count); });
  }
  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    return of(self).guarded(0, [&] {
      of(self).take_header({data, size * count});
      return size * count;
    });
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return of(self).stop->load() ? 1 : 0;
  }
  static curl_socket_t on_socket(void* self, curlsocktype, curl_sockaddr* address) {
    Transfer& transfer = of(self);
    const std::vector<long>& ports = *transfer.proxy_ports;
    const bool is_proxy =
        std::find(ports.begin(), ports.end(), port_of(&address->addr)) != ports.end();
    if (!transfer.allow_own && is_own_address(&address->addr) && !is_proxy) {
      transfer.refused = true;
      return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
};

std::unique_ptr<curl_slist, netfetch::CurlDeleter> header_list(const UpstreamCall& call) {
  std::unique_ptr<curl_slist, netfetch::CurlDeleter> list;
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    (void)list.release();
    list.reset(longer);
  };
  for (const auto& [name, value] : call.headers)
    add(value.empty() ? name + ";" : name + ": " + value);
  // Only what the client said.
  if (find_header(call.headers, "accept") == nullptr) add("Accept:");
  add("Expect:");
  if (call.read && !call.upload_bytes) add("Transfer-Encoding: chunked");
  return list;
}

}  // namespace

Upstream::Upstream(UpstreamOptions options, const std::atomic<bool>& stop)
    : options_(options), stop_(stop) {
  netfetch::start_curl();
  trusted_ = netfetch::trusted_certificates();
  proxy_ports_ = own_proxy_ports();
}
Upstream::~Upstream() = default;

Handle Upstream::take(const std::string& origin) {
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(idle_, [&](const Idle& idle) { return now - idle.since > idle_limit; });
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if (it->origin != origin) continue;
      Handle handle = std::move(it->handle);
      idle_.erase(std::next(it).base());
      return handle;
    }
  }
  Handle handle(curl_easy_init());
  if (!handle) fail(ExitCode::machine, "libcurl cannot start");
  return handle;
}

void Upstream::give_back(const std::string& origin, Handle handle) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() >= idle_max) idle_.erase(idle_.begin());
  idle_.push_back({origin, std::move(handle), std::chrono::steady_clock::now()});
}

void Upstream::send(const UpstreamCall& call) {
  const auto url = fetch::parse_url(call.url);
  if (!url || (url->scheme != "http" && url->scheme != "https"))
    fail(ExitCode::outside, "{} is no address of the web", shown_url(call.url));
  const std::string doing = call.method + " " + shown_url(call.url);
  if (!options_.allow_loopback &&
      (netfetch::is_loopback(url->host) || ends_with(url->host, ".localhost")))
    fail(ExitCode::outside, "{}: a step cannot reach this machine's own services", doing);
  const std::string origin = url->origin();
  Handle owner = take(origin);
  CURL* const handle = owner.get();
  // Keeps the connections, forgets the options of the call before.
  curl_easy_reset(handle);
  Transfer transfer{.handle = handle,
                    .call = &call,
                    .stop = &stop_,
                    .proxy_ports = &proxy_ports_,
                    .allow_own = options_.allow_loopback};
  char words[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) {
    netfetch::set_option(handle, option, value);
  };
  netfetch::set_common_options(handle, options_.stall_limit);
  set(CURLOPT_USERAGENT, static_cast<const char*>(nullptr));
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_limit.count()));
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(words));
  set(CURLOPT_URL, call.url.c_str());
  set(CURLOPT_BUFFERSIZE, receive_buffer_bytes);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_socket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&transfer));
  netfetch::set_trusted(handle, trusted_);
  const auto headers = header_list(call);
  set(CURLOPT_HTTPHEADER, headers.get());
  if (call.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (call.read) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, &Transfer::on_read);
    set(CURLOPT_READDATA, static_cast<void*>(&transfer));
    set(CURLOPT_INFILESIZE_LARGE,
        call.upload_bytes ? static_cast<curl_off_t>(*call.upload_bytes) : curl_off_t{-1});
    set(CURLOPT_CUSTOMREQUEST, call.method.c_str());
  } else if (call.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, call.method.c_str());
  }

  const CURLcode code = curl_easy_perform(handle);
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  if (code != CURLE_OK && stop_.load()) throw Interrupted();
  if (transfer.refused)
    fail(ExitCode::outside, "{}: a step cannot reach this machine's own services", doing);
  if (code != CURLE_OK) {
    // Refused before all was sent: the refusal is what counts.
    const bool told = code == CURLE_SEND_ERROR && transfer.head_done && transfer.head.status >= 400;
    if (!told) netfetch::fail_transfer(doing, code, words);
    return;
  }
  if (!transfer.head_done) fail(ExitCode::outside, "{}: no answer of HTTP", doing);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, nullptr);
  give_back(origin, std::move(owner));
}

}  // namespace slipway::record
