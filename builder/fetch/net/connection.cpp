#include "netfetch/connection.h"

#include <algorithm>
#include <exception>

#include "base/error.h"
#include "base/text.h"
#include "fetch/fetcher.h"

namespace slipway::netfetch {
namespace {

constexpr size_t header_bytes_max = 256 << 10;
constexpr size_t header_count_max = 500;
// Half of what libcurl allows: fewer system calls, and a handful of connections stays small.
constexpr long receive_buffer_bytes = 256 << 10;
constexpr long send_buffer_bytes = 256 << 10;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

}  // namespace

const std::string* HttpReply::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return &value;
  return nullptr;
}

std::string call_text(const std::string& method, const fetch::Url& url) {
  return method + " " + printable(fetch::public_url(url.to_string()));
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "[::1]") return true;
  const std::vector<std::string> parts = split(host, '.');
  return parts.size() == 4 && parts[0] == "127" &&
         std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && part.size() <= 3 &&
                  part.find_first_not_of("0123456789") == std::string::npos;
         });
}

std::optional<fetch::Url> resolve_location(const fetch::Url& base, const std::string& location) {
  const std::unique_ptr<CURLU, UrlDeleter> handle(curl_url());
  if (!handle) fail(ExitCode::machine, "libcurl cannot start");
  char* text = nullptr;
  const bool good =
      curl_url_set(handle.get(), CURLUPART_URL, base.to_string().c_str(), 0) == CURLUE_OK &&
      curl_url_set(handle.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK &&
      curl_url_set(handle.get(), CURLUPART_FRAGMENT, nullptr, 0) == CURLUE_OK &&
      curl_url_get(handle.get(), CURLUPART_URL, &text, 0) == CURLUE_OK;
  if (!good) return std::nullopt;
  std::optional<fetch::Url> url = fetch::parse_url(text);
  curl_free(text);
  if (!url || (url->scheme != "https" && url->scheme != "http")) return std::nullopt;
  url->userinfo.clear();
  return url;
}

/// What libcurl's callbacks work on.
struct Connection::Transfer {
  CURL* handle = nullptr;
  const HttpCall* call = nullptr;
  const std::atomic<bool>* stop = nullptr;
  HttpReply reply;
  size_t header_bytes = 0;
  bool body_began = false, to_sink = false;
  uint64_t sent = 0;
  std::exception_ptr failure;

  size_t take(const char* data, size_t size) {
    if (!body_began) {
      body_began = true;
      curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &reply.status);
      to_sink = call->wants_body && call->wants_body(reply);
    }
    if (to_sink) {
      call->sink(data, size);
    } else {
      const size_t room = call->body_max - std::min(call->body_max, reply.body.size());
      reply.body.append(data, std::min(room, size));
      // An error page without end is no error page.
      if (room < size)
        fail(ExitCode::outside, "the answer is longer than {} bytes", call->body_max);
    }
    return size;
  }

  size_t give(char* data, size_t size) {
    const uint64_t left = call->upload_bytes - sent;
    if (left == 0) return 0;
    const size_t count = call->read(data, static_cast<size_t>(std::min<uint64_t>(left, size)));
    if (count == 0) fail(ExitCode::machine, "the data to be sent ended early");
    sent += count;
    return count;
  }

  void take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > header_bytes_max || reply.headers.size() > header_count_max)
      fail(ExitCode::outside, "its headers do not end");
    // A new status line: what an interim answer or a proxy said does not count.
    if (starts_with(line, "HTTP/")) {
      reply.headers.clear();
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    reply.headers.emplace_back(std::move(name), std::string(trim(line.substr(colon + 1))));
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
    return of(self).guarded(0, [&] { return of(self).take(data, size * count); });
  }
  static size_t on_read(char* data, size_t size, size_t count, void* self) {
    return of(self).guarded(CURL_READFUNC_ABORT, [&] { return of(self).give(data, size * count); });
  }
  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    return of(self).guarded(0, [&] {
      of(self).take_header({data, size * count});
      return size * count;
    });
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const std::atomic<bool>* stop = of(self).stop;
    return stop != nullptr && stop->load() ? 1 : 0;
  }
};

Connection::Connection(const std::atomic<bool>* stop) : stop_(stop) {
  start_curl();
  handle_.reset(curl_easy_init());
  if (!handle_) fail(ExitCode::machine, "libcurl cannot start");
}
Connection::~Connection() = default;

HttpReply Connection::send(const HttpCall& call) {
  CURL* const handle = handle_.get();
  // Keeps the connections, forgets the options of the call before.
  curl_easy_reset(handle);
  Transfer transfer;
  transfer.handle = handle;
  transfer.call = &call;
  transfer.stop = stop_;
  char words[CURL_ERROR_SIZE] = "";
  fetch::Url bare = call.url;
  bare.userinfo.clear();
  const std::string address = bare.to_string();
  const auto set = [&](CURLoption option, auto value) { set_option(handle, option, value); };

  set_common_options(handle, call.stall_limit);
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(words));
  set(CURLOPT_URL, address.c_str());
  // Refused while the buffer of a call that failed is still there: then that one is used.
  (void)curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, receive_buffer_bytes);
  set(CURLOPT_UPLOAD_BUFFERSIZE, send_buffer_bytes);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  if (call.without_proxy) set(CURLOPT_PROXY, "");
  const Trust* trust = call.trust;
  set_trusted(handle, trust != nullptr && !trust->authorities_pem.empty() ? trust->authorities_pem
                                                                          : trusted_certificates());
  if (trust != nullptr && !trust->client_certificate.empty()) {
    set(CURLOPT_SSLCERT, trust->client_certificate.c_str());
    set(CURLOPT_SSLKEY, trust->client_key.c_str());
  }
  if (trust != nullptr && !trust->verify) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }

  std::unique_ptr<curl_slist, CurlDeleter> headers;
  for (const std::string& header : call.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    (void)headers.release();
    headers.reset(longer);
  }
  if (headers) set(CURLOPT_HTTPHEADER, headers.get());

  if (call.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (call.read) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, &Transfer::on_read);
    set(CURLOPT_READDATA, static_cast<void*>(&transfer));
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(call.upload_bytes));
    set(CURLOPT_CUSTOMREQUEST, call.method.c_str());
  } else if (call.method != "GET") {
    if (call.method != "DELETE") {
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
      set(CURLOPT_POSTFIELDS, call.body.c_str());
    }
    set(CURLOPT_CUSTOMREQUEST, call.method.c_str());
  }

  const CURLcode code = curl_easy_perform(handle);
  const std::string doing = call_text(call.method, call.url);
  if (transfer.failure) {
    try {
      std::rethrow_exception(transfer.failure);
    } catch (Error& error) {
      error.add_context(doing);
      throw;
    }
  }
  if (code == CURLE_ABORTED_BY_CALLBACK && stop_ != nullptr && stop_->load()) throw Interrupted();
  if (code != CURLE_OK) {
    // Refused before all was sent: the refusal is what counts.
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &transfer.reply.status);
    if (code == CURLE_SEND_ERROR && transfer.reply.status >= 400) return std::move(transfer.reply);
    fail_transfer(doing, code, words);
  }
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &transfer.reply.status);
  return std::move(transfer.reply);
}

}  // namespace slipway::netfetch
