// One registry, or a mirror of one, as we talk to it: which scheme it speaks, what it wants for an
// answer, where it sends us. What is bound to its origin (scheme, host and port) stays with it:
// elsewhere neither credentials nor tokens nor client certificates go (threat 14).
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "netfetch/registry_token.h"
#include "netfetch/registry_work.h"

namespace slipway::netfetch {

class Endpoint {
 public:
  /// A registry by its domain.
  Endpoint(Work& work, const std::string& domain);
  /// A mirror by its address, "https://host[:port][/prefix]". Throws Error(usage).
  static std::unique_ptr<Endpoint> mirror(Work& work, const std::string& address);
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  struct Request {
    std::string method = "GET";
    std::string path;               ///< "/v2/…", with its query
    std::optional<fetch::Url> url;  ///< in place of path: where an upload goes on
    std::vector<std::string> headers;
    std::string body;
    std::function<size_t(char* data, size_t size)> read;
    uint64_t upload_bytes = 0;
    /// Called before the request is sent again: `read` begins anew.
    std::function<void()> rewind;
    std::function<bool(const HttpReply& head)> wants_body;
    std::function<void(const char* data, size_t size)> sink;
    size_t body_max = 64 << 10;
    std::chrono::seconds stall_limit{0};  ///< 0 = the settings'
    Scopes scopes;
    bool follow_redirects = false;
  };
  struct Answer {
    HttpReply reply;
    fetch::Url url;  ///< who answered
    std::string method;
    /// "GET https://…: HTTP 404 Not Found: NAME_UNKNOWN: …"
    std::string refusal() const;
  };

  /// The answer, unless it is 401 (Error(outside) that says how to log in) or worth another attempt
  /// (Transient, see with_patience).
  Answer send(Connection& connection, const Request& request);

  /// login: a token that proves the credentials, without any scope, and an identity token if the
  /// registry gives one. Empty when the registry takes them as they are, or wants none.
  std::string identity_token(Connection& connection);

  const std::string& domain() const { return domain_; }
  const std::string& prefix() const { return prefix_; }
  /// Throws what an answer that is no success means; the hint says how to log in where that may
  /// help. Who is another origin gets no such hint.
  [[noreturn]] void refuse(const Answer& answer);
  /// `location` of an answer: where to go on. Throws Error(outside) when it is no address, or one
  /// without encryption that was not allowed.
  fetch::Url located(const Answer& answer) const;

 private:
  Endpoint(Work& work, const std::string& domain, const fetch::Url& address);
  fetch::Url base(Connection& connection);
  bool speaks_http(Connection& connection, const fetch::Url& https);
  HttpReply exchange(Connection& connection, const Request& request, const fetch::Url& url,
                     const std::string& authorization);
  std::string authorization(Connection& connection, const Scopes& scopes);
  bool meet(Connection& connection, const HttpReply& reply, Scopes& scopes,
            const std::string& used);
  std::string bearer(Connection& connection, const Scopes& scopes);
  std::optional<Credentials> credentials_for(const fetch::Url& realm);
  TokenRequest token_request(const Scopes& scopes);
  const Trust& trust_of(const fetch::Url& url) const;
  bool may_be_plain(const fetch::Url& url) const;
  std::string login_hint();

  Work& work_;
  std::string domain_, prefix_;
  Trust own_;         ///< of our origin
  Trust foreign_;     ///< of others: no client certificate
  Trust unverified_;  ///< of others that are insecure, too
  std::mutex mutex_;
  fetch::Url base_;  ///< scheme empty = not known yet
  std::optional<Challenge> challenge_;
  std::map<std::string, Token> tokens_;  ///< by scopes
  std::mutex withheld_mutex_;
  std::string withheld_;  ///< why the credentials were not sent
};

}  // namespace slipway::netfetch
