// Tokens: who may be asked for one with whose credentials, and asking (dockerfile.md N2, N3).
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "netfetch/challenge.h"
#include "netfetch/connection.h"
#include "netfetch/credentials.h"

namespace slipway::netfetch {

/// "repository:library/debian:pull", each.
using Scopes = std::set<std::string>;

/// Whether two hosts belong to the same people, as far as names tell: equal, or of one site such as
/// registry.example.org and auth.example.org. Addresses are only equal to themselves.
bool same_site(const std::string& host, const std::string& other);

/// Where tokens are to be had, as a registry says. Throws Error(outside) for what is no http(s)
/// address, and for plain http unless the registry itself was reached so and the host is its own.
fetch::Url parse_realm(const std::string& realm, const fetch::Url& registry);

struct TokenRequest {
  fetch::Url realm;
  std::string service;
  Scopes scopes;
  /// Absent = anonymous. Only user and secret, or the identity token, are used.
  std::optional<Credentials> credentials;
  bool offline = false;  ///< login: ask for an identity token as well
  const Trust* trust = nullptr;
  bool without_proxy = false;
  std::chrono::seconds stall_limit{60};
};
struct Token {
  std::string value;
  std::chrono::steady_clock::time_point expires;
  std::string identity_token;  ///< with `offline`, from registries that give one
};
/// With credentials a form is posted; where that is not understood they go into a GET's
/// Authorization, as older servers want. Redirects are not followed. Throws Transient, or
/// Error(outside) with the server's words.
Token fetch_token(Connection& connection, const TokenRequest& request);

/// What a registry says about a refusal: "DENIED: requested access to the resource is denied", or a
/// plain text's first line; empty when it says nothing. Printable and short.
std::string refusal_words(const HttpReply& reply);

/// Throws Transient for 408, 429 and 5xx.
void refuse_if_transient(const HttpReply& reply, const std::string& doing);

}  // namespace slipway::netfetch
