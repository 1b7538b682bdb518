#include "netfetch/registry_endpoint.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "netfetch/base64.h"
#include "netfetch/registry_trust.h"
#include "source/public_names.h"

namespace slipway::netfetch {
namespace {

constexpr int redirects_max = 10;
constexpr size_t scope_bytes_max = 1024;
// A token that would run out on the way is renewed before.
constexpr auto token_reserve = std::chrono::seconds(10);

std::string join_scopes(const Scopes& scopes) {
  return join({scopes.begin(), scopes.end()}, " ");
}

std::vector<std::string> challenge_headers(const HttpReply& reply) {
  std::vector<std::string> found;
  for (const auto& [name, value] : reply.headers)
    if (name == "www-authenticate") found.push_back(value);
  return found;
}

std::string host_of(const std::string& domain) {
  const source::ImageRegistry& hub = source::public_names().images;
  return domain == hub.domain ? hub.host : domain;
}

std::string authority_of(const fetch::Url& url) {
  return url.host + (url.port.empty() ? "" : ":" + url.port);
}

fetch::Url address_of(const std::string& scheme, const std::string& authority) {
  const auto url = fetch::parse_url(scheme + "://" + authority);
  if (!url || !url->userinfo.empty())
    fail(ExitCode::usage, "'{}' is not a registry's name", printable(authority));
  return *url;
}

}  // namespace

Endpoint::Endpoint(Work& work, const std::string& domain)
    : Endpoint(work, domain, [&] {
        fetch::Url url = address_of("https", host_of(domain));
        // Which of the two it speaks is to be seen.
        if (is_loopback(url.host) || work.settings.insecure.contains(domain)) url.scheme.clear();
        return url;
      }()) {}

std::unique_ptr<Endpoint> Endpoint::mirror(Work& work, const std::string& address) {
  auto url = fetch::parse_url(address);
  const bool sound = url && (url->scheme == "https" || url->scheme == "http") &&
                     url->rest.find_first_of("?#") == std::string::npos;
  if (!sound)
    throw Error(ExitCode::usage, fmt::format("'{}' is not a mirror's address",
                                             printable(fetch::public_url(address))))
        .set_hint("https://host[:port][/prefix]");
  // Credentials belong into docker's config, by its host (threat 15).
  if (!url->userinfo.empty())
    throw Error(ExitCode::usage, fmt::format("the mirror {} has credentials in its address",
                                             printable(fetch::public_url(address))))
        .set_hint(fmt::format("slipway login {}", authority_of(*url)));
  return std::unique_ptr<Endpoint>(new Endpoint(work, authority_of(*url), *url));
}

Endpoint::Endpoint(Work& work, const std::string& domain, const fetch::Url& address)
    : work_(work), domain_(domain), base_(address) {
  if (!oci::is_domain(domain_))
    fail(ExitCode::usage, "'{}' is not a registry's name", printable(domain_));
  prefix_ = std::string(trim(base_.rest));
  while (!prefix_.empty() && prefix_.back() == '/') prefix_.pop_back();
  base_.rest.clear();
  if (!prefix_.empty() && !oci::is_repository(prefix_.substr(1)))
    fail(ExitCode::usage, "'{}' is not a mirror's prefix", printable(prefix_));
  if (!prefix_.empty()) prefix_ = prefix_.substr(1) + "/";
  own_ = trust_for(domain_);
  foreign_.authorities_pem = own_.authorities_pem;
  own_.verify = !work_.settings.insecure.contains(domain_);
  unverified_.verify = false;
  if (base_.scheme == "http" && !may_be_plain(base_))
    throw Error(ExitCode::usage,
                fmt::format("{} would be asked without encryption", base_.to_string()))
        .set_hint(fmt::format("name {} as an insecure registry if that is wanted", domain_));
}

bool Endpoint::may_be_plain(const fetch::Url& url) const {
  return is_loopback(url.host) || work_.settings.insecure.contains(authority_of(url));
}

const Trust& Endpoint::trust_of(const fetch::Url& url) const {
  if (url.origin() == base_.origin()) return own_;
  const bool insecure = work_.settings.insecure.contains(authority_of(url)) ||
                        (!own_.verify && url.host == base_.host);
  return insecure ? unverified_ : foreign_;
}

std::string Endpoint::Answer::refusal() const {
  std::string text = fmt::format("{}: HTTP {}", call_text(method, url), status_text(reply.status));
  if (const std::string words = refusal_words(reply); !words.empty()) text += ": " + words;
  return text;
}

// --- which scheme ---

bool Endpoint::speaks_http(Connection& connection, const fetch::Url& https) {
  HttpCall probe;
  probe.url = https;
  probe.url.rest = "/v2/";
  probe.trust = &own_;
  probe.without_proxy = is_loopback(https.host);
  probe.stall_limit = work_.settings.stall_limit;
  HttpReply reply;
  try {
    reply = connection.send(probe);
  } catch (const Transient&) {
    probe.url.scheme = "http";
    try {
      reply = connection.send(probe);
    } catch (const Error&) {
      // The first failure is the better answer.
    }
    // "Client sent an HTTP request to an HTTPS server" is no consent.
    if (reply.status == 0 || reply.status == 400) throw;
  }
  if (reply.status == 401) challenge_ = choose_challenge(challenge_headers(reply));
  return probe.url.scheme == "http";
}

fetch::Url Endpoint::base(Connection& connection) {
  const std::lock_guard lock(mutex_);
  if (base_.scheme.empty()) {
    fetch::Url https = base_;
    https.scheme = "https";
    base_.scheme = speaks_http(connection, https) ? "http" : "https";
  }
  return base_;
}

// --- authorization ---

std::optional<Credentials> Endpoint::credentials_for(const fetch::Url& realm) {
  std::optional<Credentials> found = work_.credentials(domain_);
  if (!found) return found;
  const source::ImageRegistry& hub = source::public_names().images;
  const auto is_hub_host = [&](const std::vector<std::string>& hosts) {
    return domain_ == hub.domain &&
           std::find(hosts.begin(), hosts.end(), realm.host) != hosts.end();
  };
  if (same_site(base_.host, realm.host) || is_hub_host(hub.token_hosts) ||
      work_.settings.token_hosts.contains(realm.host) ||
      work_.settings.token_hosts.contains(authority_of(realm)))
    return found;
  const std::string withheld = fmt::format(
      "{} names {} as the place for tokens, which is another site: your credentials were not sent "
      "there",
      domain_, printable(realm.host));
  work_.note(withheld);
  const std::lock_guard lock(withheld_mutex_);
  withheld_ = withheld;
  return std::nullopt;
}

TokenRequest Endpoint::token_request(const Scopes& scopes) {
  TokenRequest request;
  request.realm = parse_realm(challenge_->value("realm"), base_);
  request.service = challenge_->value("service");
  request.scopes = scopes;
  request.credentials = credentials_for(request.realm);
  request.trust = &trust_of(request.realm);
  request.without_proxy = is_loopback(request.realm.host);
  request.stall_limit = work_.settings.stall_limit;
  return request;
}

std::string Endpoint::bearer(Connection& connection, const Scopes& scopes) {
  const std::string key = join_scopes(scopes);
  const auto now = std::chrono::steady_clock::now();
  if (const auto kept = tokens_.find(key);
      kept != tokens_.end() && kept->second.expires > now + token_reserve)
    return "Bearer " + kept->second.value;
  TokenRequest request = token_request(scopes);
  if (request.credentials && !request.credentials->registry_token.empty())
    return "Bearer " + request.credentials->registry_token;
  try {
    Token token = fetch_token(connection, request);
    work_.add_secret(token.value);
    const std::string header = "Bearer " + token.value;
    tokens_[key] = std::move(token);
    return header;
  } catch (const Transient&) {
    throw;
  } catch (Error& error) {
    throw error.set_hint(login_hint());
  }
}

// Under the mutex: threads that need the same token wait for one request.
std::string Endpoint::authorization(Connection& connection, const Scopes& scopes) {
  const std::lock_guard lock(mutex_);
  if (!challenge_) return "";
  if (challenge_->scheme == "bearer") return bearer(connection, scopes);
  const auto found = work_.credentials(domain_);
  if (!found || found->secret.empty()) return "";
  const std::string packed = base64_encode(found->user + ":" + found->secret);
  work_.add_secret(packed);
  return "Basic " + packed;
}

// Whether it is worth to send again.
bool Endpoint::meet(Connection& connection, const HttpReply& reply, Scopes& scopes,
                    const std::string& used) {
  const auto challenge = choose_challenge(challenge_headers(reply));
  if (!challenge) return false;
  bool widened = false;
  if (const std::string wanted = challenge->value("scope");
      !wanted.empty() && wanted.size() <= scope_bytes_max &&
      (scopes.empty() || challenge->value("error") == "insufficient_scope"))
    for (const std::string& scope : split(wanted, ' '))
      if (!scope.empty()) widened = scopes.insert(scope).second || widened;
  {
    const std::lock_guard lock(mutex_);
    const bool same = challenge_ && challenge_->scheme == challenge->scheme &&
                      challenge_->value("realm") == challenge->value("realm") &&
                      challenge_->value("service") == challenge->value("service");
    if (!same) tokens_.clear();
    // A token that was just refused is no use; one that another thread got since may be.
    if (const auto kept = tokens_.find(join_scopes(scopes));
        kept != tokens_.end() && "Bearer " + kept->second.value == used)
      tokens_.erase(kept);
    challenge_ = challenge;
  }
  return widened || authorization(connection, scopes) != used;
}

std::string Endpoint::login_hint() {
  {
    const std::lock_guard lock(withheld_mutex_);
    if (!withheld_.empty()) return withheld_;
  }
  if (const std::string trouble = work_.trouble(domain_); !trouble.empty()) return trouble;
  if (work_.at_login()) return "check the user name and the password or token";
  return work_.credentials(domain_)
             ? fmt::format("the credentials kept for {0} are not enough: slipway login {0}",
                           domain_)
             : fmt::format("log in: slipway login {}", domain_);
}

void Endpoint::refuse(const Answer& answer) {
  const long status = answer.reply.status;
  Error error(ExitCode::outside, answer.refusal());
  if ((status == 401 || status == 403) && answer.url.host == base_.host)
    error.set_hint(login_hint());
  throw error;
}

std::string Endpoint::identity_token(Connection& connection) {
  Request ping;
  ping.path = "/v2/";
  const Answer answer = send(connection, ping);
  if (answer.reply.status != 200) refuse(answer);
  const std::lock_guard lock(mutex_);
  if (!challenge_)
    work_.note(domain_ + " lets everybody in: whether the password is right could not be seen");
  if (!challenge_ || challenge_->scheme != "bearer") return "";
  TokenRequest request = token_request({});
  if (!request.credentials) throw Error(ExitCode::outside, login_hint());
  request.offline = true;
  return fetch_token(connection, request).identity_token;
}

// --- sending ---

HttpReply Endpoint::exchange(Connection& connection, const Request& request, const fetch::Url& url,
                             const std::string& authorization) {
  HttpCall call;
  call.method = request.method;
  call.url = url;
  call.headers = request.headers;
  if (!authorization.empty()) call.headers.push_back("Authorization: " + authorization);
  call.body = request.body;
  call.read = request.read;
  call.upload_bytes = request.upload_bytes;
  call.wants_body = request.wants_body;
  call.sink = request.sink;
  call.body_max = request.body_max;
  call.stall_limit =
      request.stall_limit.count() > 0 ? request.stall_limit : work_.settings.stall_limit;
  call.trust = &trust_of(url);
  call.without_proxy = is_loopback(url.host);
  return connection.send(call);
}

fetch::Url Endpoint::located(const Answer& answer) const {
  const std::string* location = answer.reply.header("location");
  const std::string doing = call_text(answer.method, answer.url);
  const auto next = location != nullptr ? resolve_location(answer.url, *location) : std::nullopt;
  if (!next) fail(ExitCode::outside, "{}: it leads to no HTTP address", doing);
  if (next->scheme == "http" && (answer.url.scheme == "https" || !may_be_plain(*next)))
    fail(ExitCode::outside, "{}: it leads to {}, without encryption", doing,
         printable(fetch::public_url(next->to_string())));
  return *next;
}

Endpoint::Answer Endpoint::send(Connection& connection, const Request& request) {
  const fetch::Url own = base(connection);
  fetch::Url url = own;
  url.rest = request.path;
  if (request.url) url = *request.url;
  Scopes scopes = request.scopes;
  bool at_home = url.origin() == own.origin();
  bool first = true;
  int authorized = 0;
  for (int hop = 0; hop <= redirects_max;) {
    const std::string header = at_home ? authorization(connection, scopes) : "";
    if (!first && request.rewind) request.rewind();
    first = false;
    Answer answer{exchange(connection, request, url, header), url, request.method};
    const long status = answer.reply.status;
    if (status == 401) {
      // First without a token, then with one, then with one for more: no fourth time.
      if (at_home && ++authorized < 3 && meet(connection, answer.reply, scopes, header)) continue;
      refuse(answer);
    }
    refuse_if_transient(answer.reply, call_text(answer.method, answer.url));
    const bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (!redirect || !request.follow_redirects) return answer;
    url = located(answer);
    // Once another origin was asked, even the way back carries nothing.
    at_home = at_home && url.origin() == own.origin();
    ++hop;
  }
  fail(ExitCode::outside, "{}: more than {} redirects", call_text(request.method, url),
       redirects_max);
}

}  // namespace slipway::netfetch
