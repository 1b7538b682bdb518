#include "record/reply.h"

#include <boost/beast/http/status.hpp>

#include "base/text.h"

namespace slipway::record {
namespace {

// A client may unpack as it reads, with all the time in the world; a step's end closes its sockets.
constexpr auto write_limit = std::chrono::milliseconds(3600'000);
constexpr size_t block_bytes = 128 << 10;

std::string reason(int status) {
  const auto text = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

}  // namespace

bool Reply::begin(int status, const Headers& headers, std::optional<uint64_t> length) {
  const bool without_body = status < 200 || status == 204 || status == 304;
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", status, reason(status));
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  if (without_body) {
    length.reset();
  } else if (length) {
    text += fmt::format("content-length: {}\r\n", *length);
  } else if (!is_head_) {
    // A client of HTTP/1.0 knows the end by the connection's.
    chunked_ = !is_old_;
    if (is_old_) keeps_connection_ = false;
    if (chunked_) text += "transfer-encoding: chunked\r\n";
  }
  if (!keeps_connection_)
    text += "connection: close\r\n";
  else if (is_old_)
    text += "connection: keep-alive\r\n";
  text += "\r\n";
  const bool has_body = !without_body && !is_head_;
  if (has_body && holds_head_)
    held_ = std::move(text);
  else
    wire_.write(text, write_limit);
  return has_body;
}

void Reply::send_now(std::string_view data) {
  if (held_.empty()) {
    wire_.write(data, write_limit);
    return;
  }
  held_.append(data);
  wire_.write(held_, write_limit);
  held_.clear();
}

void Reply::write(std::string_view data) {
  if (data.empty()) return;
  if (chunked_) {
    std::string chunk = fmt::format("{:x}\r\n", data.size());
    chunk.append(data).append("\r\n");
    send_now(chunk);
  } else {
    send_now(data);
  }
}

void Reply::end() {
  if (chunked_)
    send_now("0\r\n\r\n");
  else if (!held_.empty())
    send_now({});
}

void Reply::refuse(int status, std::string_view text) {
  // The body of the request may not have been read.
  keeps_connection_ = false;
  const std::string body = fmt::format("slipway: {}\n", text);
  if (begin(status, {{"content-type", "text/plain; charset=utf-8"}}, body.size())) write(body);
}

void Reply::send(Answer& answer, const Answer::Head& head, const Request& request) {
  Headers headers = head.headers;
  std::optional<uint64_t> length = answer.total();
  uint64_t first = 0;
  if (head.status == 200 && is_not_modified(head.headers, request)) {
    (void)begin(304, headers, {});
    return;
  }
  int status = head.status;
  const bool whole = status == 200 && length && request.method != "POST";
  if (whole) headers.emplace_back("accept-ranges", "bytes");
  const auto range = whole ? asked_range(headers, request, *length) : std::nullopt;
  if (range && !range->satisfiable) {
    headers.emplace_back("content-range", fmt::format("bytes */{}", *length));
    (void)begin(416, headers, 0);
    return;
  }
  if (range) {
    status = 206;
    first = range->first;
    headers.emplace_back("content-range",
                         fmt::format("bytes {}-{}/{}", first, first + range->size - 1, *length));
    length = range->size;
  }
  holds_head_ = answer.available() > first;
  if (!begin(status, headers, length)) return;
  std::string block(
      static_cast<size_t>(std::min<uint64_t>(block_bytes, length.value_or(block_bytes))), '\0');
  uint64_t at = first;
  while (!length || at < first + *length) {
    const uint64_t left = length ? first + *length - at : block.size();
    const size_t count =
        answer.read(at, block.data(), static_cast<size_t>(std::min<uint64_t>(block.size(), left)));
    if (count == 0) break;
    write({block.data(), count});
    at += count;
  }
  if (length && at < first + *length)
    throw Closed("the recorded body is shorter than it should be");
  end();
}

}  // namespace slipway::record
