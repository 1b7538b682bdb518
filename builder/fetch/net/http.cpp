#include "netfetch/http.h"

#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "fetch/url.h"
#include "netfetch/curl.h"

namespace slipway::netfetch {
namespace {

using fetch::HttpRequest;
using fetch::HttpResult;
using fetch::Url;

constexpr int redirects_max = 10;
constexpr auto retry_after_max = std::chrono::seconds(30);
constexpr size_t header_bytes_max = 256 << 10;

class Download {
 public:
  Download(const HttpRequest& request, int output, const OnProgress& on_progress)
      : request_(request),
        shown_(fetch::public_url(request.url)),
        output_(output),
        on_progress_(on_progress) {}

  HttpResult run();

 private:
  /// One hop's answer.
  struct Answer {
    long status = 0;
    std::string redirect;  ///< absolute, empty = none
    std::string etag, content_range;
    int64_t last_modified = 0;
    std::chrono::seconds retry_after{0};
    size_t header_bytes = 0;
    bool body_wanted = false;  ///< decided when the first byte comes
    bool decided = false;
    uint64_t expected_total = 0;
    std::string refusal;  ///< why we broke off the transfer
  };

  std::string attempt();
  Answer ask(const Url& url, bool with_credentials);
  void restart();
  bool decide(CURL* handle);
  size_t take(CURL* handle, const char* data, size_t size);
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  [[noreturn]] void refuse_status(const Url& url, long status, std::chrono::seconds retry_after);
  [[noreturn]] void refuse_transfer(const Url& url, CURLcode code, const char* words);
  void verify(const std::string& sha256) const;
  HttpResult copy_local(const Url& url);

  const HttpRequest& request_;
  const std::string shown_;
  const int output_;
  const OnProgress& on_progress_;

  uint64_t received_ = 0;  ///< bytes in output_
  std::string validator_;  ///< strong ETag of what output_ holds
  std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
  bool ranged_ = false;  ///< the current request asks for the rest only
  bool not_modified_ = false;
  CURL* handle_ = nullptr;  ///< of the current request
  Answer answer_;
};

void Download::restart() {
  if (ftruncate(output_, 0) != 0 || lseek(output_, 0, SEEK_SET) != 0)
    fail_errno("truncate a download");
  received_ = 0;
  validator_.clear();
  hash_ = std::make_unique<Sha256>();
}

// Called when the first byte of a body comes: is it ours, and where does it go?
bool Download::decide(CURL* handle) {
  answer_.decided = true;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer_.status);
  curl_off_t length = -1;
  curl_easy_getinfo(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  if (answer_.status == 206 && ranged_) {
    // "bytes 100-199/200": anything but a continuation where we stopped is no use.
    const std::string wanted = fmt::format("bytes {}-", received_);
    if (!starts_with(answer_.content_range, wanted)) {
      answer_.refusal = "the server answers with another range than asked for";
      return false;
    }
  } else if (answer_.status == 200) {
    if (received_ > 0) restart();
  } else {
    return true;  // an error page or a redirect's text: read and dropped
  }
  validator_ = starts_with(answer_.etag, "W/") ? "" : answer_.etag;
  answer_.body_wanted = true;
  if (length >= 0) answer_.expected_total = received_ + static_cast<uint64_t>(length);
  if (answer_.expected_total > request_.size_max_bytes) {
    answer_.refusal = fmt::format("it is {} bytes long, over the limit of {}",
                                  answer_.expected_total, request_.size_max_bytes);
    return false;
  }
  return true;
}

size_t Download::take(CURL* handle, const char* data, size_t size) {
  if (!answer_.decided && !decide(handle)) return 0;
  if (!answer_.body_wanted) return size;
  if (received_ + size > request_.size_max_bytes) {
    answer_.refusal =
        fmt::format("it is longer than the limit of {} bytes", request_.size_max_bytes);
    return 0;
  }
  write_all(output_, data, size);
  hash_->update(data, size);
  received_ += size;
  if (on_progress_) on_progress_(shown_, received_, answer_.expected_total);
  return size;
}

size_t Download::on_body(char* data, size_t size, size_t count, void* self) {
  auto* download = static_cast<Download*>(self);
  try {
    return download->take(download->handle_, data, size * count);
  } catch (const std::exception& error) {
    // C code lies between here and whoever can handle it.
    download->answer_.refusal = error.what();
    return 0;
  }
}

size_t Download::on_header(char* data, size_t size, size_t count, void* self) {
  Answer& answer = static_cast<Download*>(self)->answer_;
  const std::string_view line(data, size * count);
  answer.header_bytes += line.size();
  if (answer.header_bytes > header_bytes_max) {
    answer.refusal = "its headers do not end";
    return 0;
  }
  // A new status line: what an interim answer or a proxy said does not count.
  if (starts_with(line, "HTTP/")) {
    answer.etag.clear();
    answer.content_range.clear();
    answer.last_modified = 0;
  }
  if (const auto etag = header_value(line, "etag")) answer.etag = *etag;
  if (const auto when = header_value(line, "last-modified"))
    answer.last_modified = std::max<int64_t>(curl_getdate(when->c_str(), nullptr), 0);
  if (const auto range = header_value(line, "content-range")) answer.content_range = *range;
  if (const auto after = header_value(line, "retry-after"))
    answer.retry_after = std::min<std::chrono::seconds>(parse_retry_after(*after), retry_after_max);
  return line.size();
}

void Download::refuse_transfer(const Url& url, CURLcode code, const char* words) {
  const std::string doing = "GET " + fetch::public_url(url.to_string());
  if (!answer_.refusal.empty())
    throw Error(ExitCode::outside, fmt::format("{}: {}", doing, answer_.refusal));
  fail_transfer(doing, code, words);
}

void Download::refuse_status(const Url& url, long status, std::chrono::seconds retry_after) {
  const std::string cause =
      fmt::format("GET {}: HTTP {}", fetch::public_url(url.to_string()), status_text(status));
  if (status == 408 || status == 429 || status >= 500) throw Transient(cause, retry_after);
  Error error(ExitCode::outside, cause);
  if (status == 401 || status == 403)
    error.set_hint(
        "the server wants credentials: put them into the URL (https://user:token@host/…)");
  else if (status == 404 || status == 410)
    error.set_hint("check the address; a private file may answer like this as well");
  throw error;
}

Download::Answer Download::ask(const Url& url, bool with_credentials) {
  const std::unique_ptr<CURL, CurlDeleter> handle(curl_easy_init());
  if (!handle) fail(ExitCode::machine, "libcurl cannot start");
  handle_ = handle.get();
  answer_ = {};
  ranged_ = false;
  char words[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) { set_option(handle_, option, value); };
  Url bare = url;
  bare.userinfo.clear();
  const std::string address = bare.to_string();
  set(CURLOPT_ERRORBUFFER, words);
  set(CURLOPT_URL, address.c_str());
  set_common_options(handle_, request_.stall_limit);
  set(CURLOPT_WRITEFUNCTION, &Download::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &Download::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set_trusted(handle_, trusted_certificates());
  const std::string user = url.user(), password = url.password();
  if (with_credentials) {
    set(CURLOPT_USERNAME, user.c_str());
    set(CURLOPT_PASSWORD, password.c_str());
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
  }
  std::unique_ptr<curl_slist, CurlDeleter> headers;
  // Without a validator only a checksum can tell whether both halves belong together.
  if (received_ > 0 && (!validator_.empty() || !request_.checksum.empty())) {
    ranged_ = true;
    // Not RESUME_FROM: that makes a server which sends the whole file again an error.
    set(CURLOPT_RANGE, fmt::format("{}-", received_).c_str());
    if (!validator_.empty()) {
      headers.reset(curl_slist_append(nullptr, ("If-Range: " + validator_).c_str()));
      set(CURLOPT_HTTPHEADER, headers.get());
    }
  } else if (received_ > 0) {
    restart();
  }
  if (!ranged_ && !request_.known_etag.empty()) {
    headers.reset(curl_slist_append(nullptr, ("If-None-Match: " + request_.known_etag).c_str()));
    set(CURLOPT_HTTPHEADER, headers.get());
  }
  const CURLcode code = curl_easy_perform(handle.get());
  if (code != CURLE_OK || (!answer_.decided && !decide(handle.get())))
    refuse_transfer(url, code, words);
  if (answer_.status == 416 && ranged_) {
    restart();
    throw Transient("GET " + fetch::public_url(address) + ": the server cannot resume");
  }
  char* next = nullptr;
  curl_easy_getinfo(handle.get(), CURLINFO_REDIRECT_URL, &next);
  if (answer_.status >= 300 && answer_.status < 400 && next != nullptr) answer_.redirect = next;
  handle_ = nullptr;
  return answer_;
}

// Follows redirects to the end; returns the last URL, public.
std::string Download::attempt() {
  std::optional<Url> url = fetch::parse_url(request_.url);
  const std::string first_origin = url->origin();
  bool with_credentials = !url->userinfo.empty();
  const std::string credentials = url->userinfo;
  for (int hop = 0; hop <= redirects_max; ++hop) {
    const Answer answer = ask(*url, with_credentials);
    if (answer.redirect.empty()) {
      not_modified_ = answer.status == 304 && !request_.known_etag.empty();
      if (!answer.body_wanted && !not_modified_)
        refuse_status(*url, answer.status, answer.retry_after);
      return fetch::public_url(url->to_string());
    }
    std::optional<Url> next = fetch::parse_url(answer.redirect);
    const std::string shown = fetch::public_url(answer.redirect);
    if (!next || (next->scheme != "https" && next->scheme != "http"))
      fail(ExitCode::outside, "GET {}: redirected to {}, which is no HTTP address", shown_,
           printable(shown));
    if (url->scheme == "https" && next->scheme == "http")
      fail(ExitCode::outside, "GET {}: redirected from https to {}, without encryption", shown_,
           printable(shown));
    // Once another origin was asked, even the way back carries nothing.
    with_credentials = with_credentials && next->origin() == first_origin;
    next->userinfo = with_credentials ? credentials : "";
    url = std::move(next);
  }
  fail(ExitCode::outside, "GET {}: more than {} redirects", shown_, redirects_max);
}

void Download::verify(const std::string& sha256) const {
  if (request_.checksum.empty() || request_.checksum == "sha256:" + sha256) return;
  throw Error(
      ExitCode::outside,
      fmt::format("GET {}: the checksum does not match: expected {}, got sha256:{} ({} bytes)",
                  shown_, request_.checksum, sha256, received_))
      .set_hint("the file was replaced, or the expected checksum is not this file's");
}

HttpResult Download::copy_local(const Url& url) {
  if (!url.host.empty() && url.host != "localhost")
    fail(ExitCode::usage, "{}: a file URL names no other machine", shown_);
  const std::string path = fetch::percent_decode(url.rest);
  const Fd file = open_file(path, O_RDONLY | O_NONBLOCK);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail_errno("stat {}", path);
  if (!S_ISREG(info.st_mode)) fail(ExitCode::outside, "{}: not a regular file", shown_);
  char buffer[65536];
  while (const size_t count = read_some(file.get(), buffer, sizeof buffer)) {
    if (received_ + count > request_.size_max_bytes)
      fail(ExitCode::outside, "{}: longer than the limit of {} bytes", shown_,
           request_.size_max_bytes);
    write_all(output_, buffer, count);
    hash_->update(buffer, count);
    received_ += count;
  }
  HttpResult result;
  result.sha256 = hash_->finish_hex();
  result.size_bytes = received_;
  result.final_url = shown_;
  result.last_modified = info.st_mtim.tv_sec;
  verify(result.sha256);
  return result;
}

HttpResult Download::run() {
  const auto url = fetch::parse_url(request_.url);
  if (!url) fail(ExitCode::usage, "'{}' is not a URL", printable(shown_));
  if (!request_.checksum.empty() &&
      (!starts_with(request_.checksum, "sha256:") || request_.checksum.size() != 71 ||
       request_.checksum.find_first_not_of("0123456789abcdef", 7) != std::string::npos))
    fail(ExitCode::usage, "'{}' is not a checksum (sha256:<64 hex digits>)",
         printable(request_.checksum));
  if (url->scheme == "file") return copy_local(*url);
  if (url->scheme != "http" && url->scheme != "https")
    fail(ExitCode::usage, "{}: only https, http and file addresses can be downloaded", shown_);
  start_curl();
  auto delay = request_.retry_delay;
  for (int tried = 1;; ++tried) {
    try {
      HttpResult result;
      result.final_url = attempt();
      result.sha256 = hash_->finish_hex();
      result.size_bytes = received_;
      result.etag = answer_.etag;
      result.last_modified = answer_.last_modified;
      result.not_modified = not_modified_;
      if (!not_modified_) verify(result.sha256);
      return result;
    } catch (Transient& error) {
      if (tried > request_.retries) {
        Error last(
            ExitCode::outside,
            tried == 1 ? error.cause() : fmt::format("{} (tried {} times)", error.cause(), tried));
        throw last.set_hint(error.hint().empty() ? "try again later" : error.hint());
      }
      std::this_thread::sleep_for(std::max<std::chrono::milliseconds>(delay, error.retry_after()));
      delay *= 2;
    }
  }
}

}  // namespace

HttpResult download(const HttpRequest& request, int output, const OnProgress& on_progress) {
  return Download(request, output, on_progress).run();
}

}  // namespace slipway::netfetch
