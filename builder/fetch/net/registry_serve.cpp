#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "fetch/wire.h"
#include "netfetch/registry.h"
#include "netfetch/registry_endpoint.h"

namespace slipway::netfetch {
namespace {

constexpr size_t password_bytes_max = 64 << 10;

std::string read_password(int file) {
  std::string password = read_all(file, password_bytes_max);
  if (!password.empty() && password.back() == '\n') password.pop_back();
  if (!password.empty() && password.back() == '\r') password.pop_back();
  if (password.empty()) fail(ExitCode::usage, "the password is empty");
  if (password.find_first_of(std::string_view("\0\r\n", 3)) != std::string::npos)
    fail(ExitCode::usage, "the password is more than one line");
  return password;
}

/// The socket of wire.h; what we start does not inherit it.
int channel_of(const Json& request) {
  const int channel = request.at("channel");
  if (fcntl(channel, F_SETFD, FD_CLOEXEC) != 0) fail_errno("the channel to slipway");
  return channel;
}

Json dispatch(Work& work, const std::string& op, const Json& request) {
  if (op == "registry_login") return log_in(work, request);
  if (op == "registry_logout") return log_out(request);
  const int channel = channel_of(request);
  if (op == "registry_resolve") return resolve_image(work, request, channel);
  if (op == "registry_pull") return pull_blobs(work, request, channel);
  if (op == "registry_push") return push_image(work, request, channel);
  fail(ExitCode::machine, "slipway-fetch knows no '{}'", op);
}

}  // namespace

Json log_in(Work& work, const Json& request) {
  const std::string domain = request.at("domain");
  Credentials credentials;
  credentials.user = request.at("user");
  credentials.secret = read_password(request.at("password_fd"));
  // A colon would end the name for whoever reads it back (RFC 7617).
  if (credentials.user.empty() || credentials.user.find(':') != std::string::npos)
    fail(ExitCode::usage, "'{}' is not a user name", printable(credentials.user));
  work.use_credentials(domain, credentials);
  Connection connection(&work.stopped());
  Endpoint endpoint(work, domain);
  const std::string identity =
      with_patience(work, [&] { return endpoint.identity_token(connection); });
  if (!identity.empty()) {
    work.add_secret(identity);
    credentials.identity_token = identity;
  }
  return {{"kept", CredentialStore::load().store(domain, credentials)}};
}

Json log_out(const Json& request) {
  return {{"erased", CredentialStore::load().erase(request.at("domain"))}};
}

Json serve_registry(const std::string& op, const Json& request, const Emit& emit) {
  Work work(fetch::settings_from_wire(request.at("settings")), emit);
  try {
    return dispatch(work, op, request);
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    throw work.redacted(error);
  }
}

}  // namespace slipway::netfetch
