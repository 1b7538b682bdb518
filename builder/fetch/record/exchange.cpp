#include "record/exchange.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include <limits>

#include "base/text.h"
#include "fetch/url.h"
#include "record/reply.h"

namespace slipway::record {
namespace {

namespace http = boost::beast::http;
using Milliseconds = std::chrono::milliseconds;

constexpr auto handshake_limit = Milliseconds(30'000);
constexpr auto head_limit = Milliseconds(60'000);
constexpr auto idle_limit = Milliseconds(120'000);
constexpr auto body_limit = Milliseconds(120'000);
constexpr uint32_t head_bytes_max = 64 << 10;
constexpr size_t buffer_bytes_max = 256 << 10;
constexpr size_t recorded_request_bytes_max = 8 << 20;

/// What Beast reads from.
struct ParserInput {
  Wire& wire;
  Milliseconds limit;
  template <typename Buffers>
  size_t read_some(const Buffers& buffers, boost::system::error_code& problem) {
    for (auto it = boost::asio::buffer_sequence_begin(buffers);
         it != boost::asio::buffer_sequence_end(buffers); ++it) {
      const boost::asio::mutable_buffer buffer = *it;
      if (buffer.size() == 0) continue;
      const size_t count = wire.read(buffer.data(), buffer.size(), limit);
      problem = count == 0 ? boost::asio::error::eof : boost::system::error_code();
      return count;
    }
    problem = {};
    return 0;
  }
  template <typename Buffers>
  size_t read_some(const Buffers& buffers) {
    boost::system::error_code problem;
    const size_t count = read_some(buffers, problem);
    if (problem) throw boost::system::system_error(problem);
    return count;
  }
};

std::string text_of(boost::string_view view) {
  return {view.data(), view.size()};
}

/// A connection between its first byte and its last.
class Session {
 public:
  Session(const Service& service, std::string step, Wire wire)
      : service_(service), step_(std::move(step)), wire_(std::move(wire)) {}

  void serve() {
    begin_tls_if_asked();
    while (serve_request()) {
    }
    wire_.close();
  }

 private:
  using Parser = http::request_parser<http::buffer_body>;

  void begin_tls_if_asked() {
    if (!wire_.sniff_tls(idle_limit)) return;
    const std::string host = tunnel_host_.empty() ? wire_.own_address() : tunnel_host_;
    wire_.accept_tls(service_.authority.context(host), handshake_limit);
  }

  /// False when the connection ends with it.
  bool serve_request() {
    Parser parser;
    parser.header_limit(head_bytes_max);
    // Bodies are streamed. (boost::none means "no body at all" in Boost 1.74.)
    parser.body_limit(std::numeric_limits<uint64_t>::max());
    if (!read_head(parser)) return false;
    started_ = std::chrono::steady_clock::now();
    const auto& head = parser.get();
    Request request;
    request.method = text_of(head.method_string());
    for (const auto& field : head)
      request.headers.emplace_back(lower_case(text_of(field.name_string())),
                                   text_of(field.value()));
    request.has_body = !parser.is_done();
    const bool keep_alive = parser.keep_alive();
    Reply reply(wire_, request.method, head.version(), keep_alive);
    if (request.method == "CONNECT") return open_tunnel(reply, text_of(head.target()));
    request.url = whole_url(text_of(head.target()), request.header("host"));
    if (request.url.empty()) {
      reply.refuse(400, "the recorder does not understand whom this request is for");
      return false;
    }
    // Whoever means to switch protocols would wait for it in vain.
    if (find_header(request.headers, "sec-websocket-key") != nullptr) {
      refuse(request, reply, 501, "websockets are not recorded; run this step with --network=open");
      return false;
    }
    answer(request, reply, parser);
    return keep_alive && parser.is_done() && reply.keeps_connection();
  }

  bool read_head(Parser& parser) {
    boost::system::error_code problem;
    // Before the first byte it may take long: a connection kept for later.
    ParserInput source{wire_, buffer_.size() == 0 ? idle_limit : head_limit};
    while (!parser.got_some() && buffer_.size() == 0) {
      const auto space = buffer_.prepare(16 << 10);
      const size_t count = source.read_some(space, problem);
      if (count == 0) return false;
      buffer_.commit(count);
    }
    source.limit = head_limit;
    http::read_header(source, buffer_, parser, problem);
    if (!problem) return true;
    if (problem == http::error::end_of_stream || problem == http::error::partial_message)
      return false;
    Reply reply(wire_, "GET", 11, false);
    const bool long_head =
        problem == http::error::header_limit || problem == http::error::buffer_overflow;
    reply.refuse(long_head ? 431 : 400, long_head ? "the request's headers do not end"
                                                  : "not a request of HTTP: " + problem.message());
    return false;
  }

  /// The URL a request is for, without userinfo; empty when it cannot be told.
  std::string whole_url(const std::string& target, const std::string& host) const {
    std::string url = target;
    if (target.starts_with('/')) {
      std::string authority = !host.empty() ? host : wire_.server_name();
      if (authority.empty()) authority = tunnel_host_.empty() ? wire_.own_address() : tunnel_host_;
      // A tunnel's port is what the client connected to; a Host header need not repeat it.
      if (!tunnel_port_.empty() &&
          authority.find(':', authority.rfind(']') + 1) == std::string::npos)
        authority += ":" + tunnel_port_;
      url = (wire_.is_tls() ? "https://" : "http://") + authority + target;
    }
    return web_url(url);
  }

  bool open_tunnel(Reply& reply, const std::string& target) {
    const auto parsed = fetch::parse_url("https://" + target);
    const bool good = parsed && parsed->rest.empty() && parsed->userinfo.empty();
    if (!good || wire_.is_tls() || buffer_.size() != 0) {
      reply.refuse(400, "CONNECT is for HOST:PORT");
      return false;
    }
    tunnel_host_ = parsed->host;
    tunnel_port_ = parsed->port == "443" ? "" : parsed->port;
    wire_.write("HTTP/1.1 200 Connection established\r\n\r\n", body_limit);
    begin_tls_if_asked();
    return true;
  }

  void answer(Request& request, Reply& reply, Parser& parser) {
    const bool git = is_git_fetch(request);
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (is_private(request) || !(reads || git) || (reads && request.has_body)) {
      pass(request, reply, parser);
      return;
    }
    if (git && !read_body(request, reply, parser)) return;
    Reading reading = service_.library.ask(request, step_);
    const Answer::Head* head = reading->wait_head();
    if (head == nullptr) {
      refuse_failed(request, reply, *reading);
      return;
    }
    Event event = event_of(request, head->status, head->source);
    try {
      reply.send(*reading, *head, request);
    } catch (const Closed& closed) {
      event.error = closed.what();
      finish(event, *reading);
      throw;
    }
    finish(event, *reading);
  }

  void refuse_failed(const Request& request, Reply& reply, Answer& answer) {
    const bool offline = service_.library.is_offline();
    const std::string url = shown_url(request.url);
    Event event = event_of(request, offline ? 504 : 502, offline ? Source::miss : Source::failed);
    event.error = answer.failure();
    reply.refuse(event.status,
                 offline ? fmt::format("offline, and {} {} is not recorded; build once "
                                       "without --offline to record it",
                                       request.method, url)
                         : fmt::format("{} {} failed: {}", request.method, url, answer.failure()));
    service_.on_event(event);
  }

  /// A request's body into memory: of what is recorded by its body.
  bool read_body(Request& request, Reply& reply, Parser& parser) {
    const auto more = body_reader(request, parser);
    std::vector<char> block(64 << 10);
    while (const size_t count = more(block.data(), block.size())) {
      request.body.append(block.data(), count);
      if (request.body.size() <= recorded_request_bytes_max) continue;
      refuse(request, reply, 413, "too long a request to be recorded");
      return false;
    }
    return true;
  }

  std::function<size_t(char*, size_t)> body_reader(const Request& request, Parser& parser) {
    if (lower_case(request.header("expect")) == "100-continue" && !parser.is_done())
      wire_.write("HTTP/1.1 100 Continue\r\n\r\n", body_limit);
    return [this, &parser](char* data, size_t size) -> size_t {
      while (!parser.is_done()) {
        boost::system::error_code problem;
        ParserInput source{wire_, body_limit};
        parser.get().body().data = data;
        parser.get().body().size = size;
        http::read(source, buffer_, parser, problem);
        if (problem && problem != http::error::need_buffer) throw Closed("the request broke off");
        const size_t count = size - parser.get().body().size;
        if (count > 0) return count;
      }
      return 0;
    };
  }

  /// What is never recorded: written things, and what needs credentials.
  void pass(const Request& request, Reply& reply, Parser& parser) {
    if (service_.library.is_offline()) {
      const bool secret = is_private(request);
      refuse(request, reply, 504,
             fmt::format("offline, and {} {} is never recorded: {}", request.method,
                         shown_url(request.url),
                         secret ? "it carries credentials" : "it sends something"));
      return;
    }
    UpstreamCall call;
    call.method = request.method;
    call.url = request.url;
    call.headers = upstream_headers(request.headers, false);
    if (request.has_body || request.method == "POST" || request.method == "PUT" ||
        request.method == "PATCH") {
      call.read = body_reader(request, parser);
      call.upload_bytes = netfetch::parse_number(request.header("content-length"));
      if (!request.has_body) call.upload_bytes = 0;
    }
    Event event = event_of(request, 0, Source::passed);
    bool has_body = false;
    call.on_head = [&](const UpstreamHead& head) {
      event.status = head.status;
      has_body = reply.begin(head.status, passed_headers(head.headers), head.length);
    };
    call.on_body = [&](const char* data, size_t size) {
      event.size_bytes += size;
      if (has_body) reply.write({data, size});
    };
    try {
      service_.library.upstream().send(call);
      reply.end();
    } catch (const Error& error) {
      event.error = error.cause();
      if (event.status == 0) {
        event.status = 502;
        event.source = Source::failed;
        reply.refuse(502, error.cause());
      }
    }
    event.duration_ms = since_start();
    service_.on_event(event);
    // The client must not take what it has for the whole.
    if (!event.error.empty() && event.source == Source::passed) throw Closed(event.error);
  }

  void refuse(const Request& request, Reply& reply, int status, const std::string& text) {
    Event event = event_of(request, status, status == 504 ? Source::miss : Source::failed);
    event.error = text;
    reply.refuse(status, text);
    service_.on_event(event);
  }

  int64_t since_start() const {
    return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - started_)
        .count();
  }
  Event event_of(const Request& request, int status, Source source) const {
    Event event;
    event.step = step_;
    event.method = request.method;
    event.url = shown_url(request.url);
    event.status = status;
    event.source = source;
    return event;
  }
  void finish(Event& event, Answer& answer) {
    event.duration_ms = since_start();
    event.size_bytes = event.method == "HEAD" ? 0 : answer.available();
    answer.report(event, service_.on_event);
  }

  const Service& service_;
  const std::string step_;
  Wire wire_;
  boost::beast::flat_buffer buffer_{buffer_bytes_max};
  std::string tunnel_host_, tunnel_port_;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace

void serve_connection(const Service& service, const std::string& step, Wire wire) {
  try {
    Session(service, step, std::move(wire)).serve();
  } catch (const Closed&) {
    // The client knows.
  } catch (const std::exception& error) {
    Event event;
    event.step = step;
    event.source = Source::failed;
    event.error = error.what();
    service.on_event(event);
  }
}

}  // namespace slipway::record
