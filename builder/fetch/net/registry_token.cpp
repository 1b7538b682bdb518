#include "netfetch/registry_token.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "netfetch/base64.h"

namespace slipway::netfetch {
namespace {

constexpr size_t token_bytes_max = 64 << 10;
constexpr size_t answer_bytes_max = 1 << 20;
constexpr size_t words_max = 300;
// Distribution's token specification; no server means less.
constexpr double expires_default_s = 60;
constexpr double expires_max_s = 24 * 3600;
constexpr const char* client_id = "slipway";

bool is_address(const std::string& host) {
  return host.empty() || host[0] == '[' ||
         host.find_first_not_of("0123456789.") == std::string::npos;
}

/// The part of a host name that its owner registered: two labels, or three below names such as
/// "co.uk" and "com.au" that are sold to everybody.
std::string site_of(const std::string& host) {
  const std::vector<std::string> labels = split(host, '.');
  if (labels.size() < 2) return host;
  static const std::set<std::string> sold = {"co",  "com", "net", "org", "gov",
                                             "edu", "ac",  "or",  "ne",  "go"};
  const std::string& second = labels[labels.size() - 2];
  const bool below = labels.back().size() == 2 && (second.size() <= 2 || sold.contains(second));
  const size_t wanted = below ? 3 : 2;
  if (labels.size() < wanted) return host;
  return join({labels.end() - static_cast<ptrdiff_t>(wanted), labels.end()}, ".");
}

std::string form_encode(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      result += c;
    } else {
      result += '%';
      result += digits[static_cast<unsigned char>(c) >> 4];
      result += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  return result;
}

void add_pair(std::string& form, const char* name, std::string_view value) {
  if (!form.empty() && form.back() != '?' && form.back() != '&') form += '&';
  form += std::string(name) + "=" + form_encode(value);
}

HttpCall new_call(const TokenRequest& request) {
  HttpCall call;
  call.url = request.realm;
  call.trust = request.trust;
  call.without_proxy = request.without_proxy;
  call.stall_limit = request.stall_limit;
  call.body_max = answer_bytes_max;
  return call;
}

HttpReply post(Connection& connection, const TokenRequest& request) {
  HttpCall call = new_call(request);
  call.method = "POST";
  call.headers = {"Content-Type: application/x-www-form-urlencoded"};
  const Credentials& credentials = *request.credentials;
  if (!credentials.identity_token.empty()) {
    add_pair(call.body, "grant_type", "refresh_token");
    add_pair(call.body, "refresh_token", credentials.identity_token);
  } else {
    add_pair(call.body, "grant_type", "password");
    add_pair(call.body, "username", credentials.user);
    add_pair(call.body, "password", credentials.secret);
  }
  add_pair(call.body, "service", request.service);
  add_pair(call.body, "client_id", client_id);
  if (request.offline) add_pair(call.body, "access_type", "offline");
  if (!request.scopes.empty())
    add_pair(call.body, "scope", join({request.scopes.begin(), request.scopes.end()}, " "));
  return connection.send(call);
}

HttpReply get(Connection& connection, const TokenRequest& request) {
  HttpCall call = new_call(request);
  std::string query = call.url.rest.find('?') == std::string::npos ? "?" : "&";
  if (call.url.rest.empty()) call.url.rest = "/";
  if (!request.service.empty()) add_pair(query, "service", request.service);
  for (const std::string& scope : request.scopes) add_pair(query, "scope", scope);
  if (request.credentials) {
    add_pair(query, "account", request.credentials->user);
    add_pair(query, "client_id", client_id);
    if (request.offline) add_pair(query, "offline_token", "true");
    call.headers.push_back("Authorization: Basic " + base64_encode(request.credentials->user + ":" +
                                                                   request.credentials->secret));
  }
  if (query.size() > 1) call.url.rest += query;
  return connection.send(call);
}

Token read_token(const HttpReply& reply, const std::string& doing) {
  Token token;
  Json answer;
  try {
    answer = parse_json(reply.body, "token", static_cast<int>(ExitCode::outside));
  } catch (const Error&) {
    // The parser's words would quote what may be the token.
    fail(ExitCode::outside, "{}: the answer is not JSON", doing);
  }
  const auto text = [&](const char* name) {
    const auto found = answer.is_object() ? answer.find(name) : answer.end();
    return found != answer.end() && found->is_string() ? found->get<std::string>() : "";
  };
  token.value = text("token").empty() ? text("access_token") : text("token");
  token.identity_token = text("refresh_token");
  const bool sound = !token.value.empty() && token.value.size() <= token_bytes_max &&
                     std::all_of(token.value.begin(), token.value.end(),
                                 [](char c) { return c > ' ' && c < '\x7f'; });
  if (!sound) fail(ExitCode::outside, "{}: the answer holds no token", doing);
  double lifetime_s = expires_default_s;
  if (const auto expires = answer.find("expires_in");
      expires != answer.end() && expires->is_number())
    lifetime_s = std::clamp<double>(expires->get<double>(), expires_default_s, expires_max_s);
  token.expires =
      std::chrono::steady_clock::now() + std::chrono::seconds(static_cast<int64_t>(lifetime_s));
  return token;
}

}  // namespace

bool same_site(const std::string& host, const std::string& other) {
  if (host == other) return true;
  if (is_address(host) || is_address(other)) return false;
  const std::string site = site_of(host);
  return site.find('.') != std::string::npos && site == site_of(other);
}

fetch::Url parse_realm(const std::string& realm, const fetch::Url& registry) {
  const std::optional<fetch::Url> url = fetch::parse_url(realm);
  const std::string shown = printable(fetch::public_url(realm.substr(0, words_max)));
  if (!url || (url->scheme != "https" && url->scheme != "http"))
    fail(ExitCode::outside, "{} names '{}' as the place for tokens, which is no http address",
         registry.host, shown);
  // Whoever listens on the way would get password or token (CVE-2019-10214).
  const bool own_http =
      url->scheme == "http" && registry.scheme == "http" &&
      (url->host == registry.host || (is_loopback(url->host) && is_loopback(registry.host)));
  if (url->scheme == "http" && !own_http)
    fail(ExitCode::outside, "{} names {} as the place for tokens, which is without encryption",
         registry.host, shown);
  fetch::Url bare = *url;
  bare.userinfo.clear();
  return bare;
}

std::string refusal_words(const HttpReply& reply) {
  const std::string* type = reply.header("content-type");
  std::string words;
  if (type != nullptr && type->find("json") != std::string::npos) {
    const Json body = Json::parse(reply.body.substr(0, 64 << 10), nullptr, false);
    const auto text = [](const Json& object, const char* name) {
      const auto found = object.is_object() ? object.find(name) : object.end();
      return found != object.end() && found->is_string() ? found->get<std::string>() : "";
    };
    if (body.is_object() && body.contains("errors") && body["errors"].is_array() &&
        !body["errors"].empty()) {
      const Json& first = body["errors"][0];
      words = text(first, "code");
      if (const std::string message = text(first, "message"); !message.empty())
        words += (words.empty() ? "" : ": ") + message;
    } else {
      for (const char* name : {"details", "error_description", "message", "error"})
        if (words.empty()) words = text(body, name);
    }
  } else if (type != nullptr && starts_with(*type, "text/plain")) {
    words = reply.body.substr(0, reply.body.find('\n'));
  }
  return printable(trim(std::string_view(words).substr(0, words_max)));
}

void refuse_if_transient(const HttpReply& reply, const std::string& doing) {
  const bool transient =
      reply.status == 408 || reply.status == 429 || (reply.status >= 500 && reply.status != 501);
  if (!transient) return;
  std::string cause = fmt::format("{}: HTTP {}", doing, status_text(reply.status));
  if (const std::string words = refusal_words(reply); !words.empty()) cause += ": " + words;
  const std::string* after = reply.header("retry-after");
  throw Transient(cause, after != nullptr ? parse_retry_after(*after) : std::chrono::seconds(0));
}

Token fetch_token(Connection& connection, const TokenRequest& request) {
  const auto refuse = [&](const HttpReply& reply, const char* method) {
    const std::string doing = call_text(method, request.realm);
    refuse_if_transient(reply, doing);
    std::string cause = fmt::format("{}: HTTP {}", doing, status_text(reply.status));
    if (const std::string words = refusal_words(reply); !words.empty()) cause += ": " + words;
    throw Error(ExitCode::outside, cause);
  };
  if (request.credentials) {
    const HttpReply reply = post(connection, request);
    if (reply.status == 200) return read_token(reply, call_text("POST", request.realm));
    // Servers without that form answer 400, 401, 404 or 405, and those with it a wrong password.
    const bool other_way = reply.status >= 400 && reply.status < 500 && reply.status != 429;
    if (!other_way || !request.credentials->identity_token.empty()) refuse(reply, "POST");
  }
  const HttpReply reply = get(connection, request);
  if (reply.status != 200) refuse(reply, "GET");
  return read_token(reply, call_text("GET", request.realm));
}

}  // namespace slipway::netfetch
