// What all parts of one registry request share: settings, notes, the flag that ends it, secrets
// that must not be printed; and the two ways of doing things: again, and several at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "fetch/registry.h"
#include "netfetch/connection.h"
#include "netfetch/credentials.h"

namespace slipway::netfetch {

/// A message for the other program; thread-safe.
using Emit = std::function<void(const Json& message)>;

/// Thread-safe.
class Work {
 public:
  Work(fetch::RegistrySettings settings, Emit emit);
  const fetch::RegistrySettings settings;

  /// Tells the user, the same text once.
  void note(const std::string& text);
  /// At most ten a second for each `what`, and the last one.
  void progress(const std::string& what, uint64_t done, uint64_t total);

  const std::atomic<bool>& stopped() const { return stop_; }
  /// Ends all transfers and pauses with Interrupted.
  void stop();
  /// Sleeps; throws Interrupted when stopped.
  void pause(std::chrono::milliseconds duration);

  /// For a registry's domain. A helper that fails is noted and remembered: what is public can still
  /// be had (see trouble()).
  std::optional<Credentials> credentials(const std::string& domain);
  /// Why the credentials of a domain could not be asked for; empty = no trouble.
  std::string trouble(const std::string& domain);
  /// login: these and no others.
  void use_credentials(const std::string& domain, Credentials credentials);
  bool at_login() const { return at_login_; }

  /// From now on redact() finds it.
  void add_secret(const std::string& secret);
  /// `text` without the secrets: a server may say back what it was sent (threat 15).
  std::string redact(std::string text);
  /// The error with its words redacted.
  Error redacted(const Error& error);

 private:
  Emit emit_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stop_{false}, at_login_{false};
  std::set<std::string> noted_, secrets_;
  std::map<std::string, std::chrono::steady_clock::time_point> told_;
  std::optional<CredentialStore> store_;
  std::map<std::string, std::optional<Credentials>> credentials_;
  std::map<std::string, std::string> trouble_;
};

/// Counts attempts at one thing and waits between them.
class Patience {
 public:
  explicit Patience(Work& work) : work_(work), delay_(work.settings.retry_delay) {}
  /// After a failure: waits and returns, or throws what is to be the last word. Who cannot be
  /// reached is asked once more only; a longer Retry-After than a minute is not waited for.
  void after(const Transient& failure);
  /// The attempt got somewhere: the count begins anew.
  void reset();

 private:
  Work& work_;
  std::chrono::milliseconds delay_;
  int tried_ = 0;
};

/// Calls attempt() until it returns; only Transient is worth another one.
template <typename Attempt>
auto with_patience(Work& work, Attempt attempt) {
  Patience patience(work);
  while (true) {
    try {
      return attempt();
    } catch (const Transient& failure) {
      patience.after(failure);
    }
  }
}

/// Calls task(index, connection) for 0 … count-1, in order, on up to settings.parallel threads with
/// a connection each. The first failure stops the others and is thrown.
void run_parallel(Work& work, size_t count,
                  const std::function<void(size_t index, Connection& connection)>& task);

}  // namespace slipway::netfetch
