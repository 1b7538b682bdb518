#include "netfetch/registry_work.h"

#include <algorithm>
#include <thread>

#include "base/error.h"

namespace slipway::netfetch {
namespace {

constexpr auto progress_interval = std::chrono::milliseconds(100);
constexpr auto delay_max = std::chrono::seconds(30);
constexpr auto retry_after_max = std::chrono::seconds(60);
constexpr int parallel_max = 16;
// Shorter ones would tear holes into innocent words.
constexpr size_t secret_bytes_min = 4;

void replace_all(std::string& text, const std::string& what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

}  // namespace

Work::Work(fetch::RegistrySettings wanted, Emit emit)
    : settings(std::move(wanted)), emit_(std::move(emit)) {}

void Work::note(const std::string& text) {
  const std::string shown = redact(text);
  {
    const std::lock_guard lock(mutex_);
    if (!noted_.insert(shown).second) return;
  }
  emit_({{"note", shown}});
}

void Work::progress(const std::string& what, uint64_t done, uint64_t total) {
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    auto& last = told_[what];
    if (now - last < progress_interval && done != total) return;
    last = now;
  }
  emit_({{"progress", {{"what", what}, {"done", done}, {"total", total}}}});
}

void Work::stop() {
  const std::lock_guard lock(mutex_);
  stop_ = true;
  wake_.notify_all();
}

void Work::pause(std::chrono::milliseconds duration) {
  std::unique_lock lock(mutex_);
  if (wake_.wait_for(lock, duration, [&] { return stop_.load(); })) throw Interrupted();
}

std::optional<Credentials> Work::credentials(const std::string& domain) {
  std::unique_lock lock(mutex_);
  if (const auto known = credentials_.find(domain); known != credentials_.end())
    return known->second;
  std::optional<Credentials> found;
  std::string problem;
  // A file that cannot be read is an error: only the user can say what it was to hold.
  if (!store_) store_ = CredentialStore::load();
  try {
    found = store_->find(domain);
  } catch (const Error& error) {
    problem = error.what();
    trouble_[domain] = problem;
  }
  credentials_[domain] = found;
  lock.unlock();
  if (found)
    for (const std::string& secret : {found->secret, found->identity_token, found->registry_token})
      add_secret(secret);
  if (!problem.empty()) note(problem + "; going on without credentials for " + domain);
  return found;
}

std::string Work::trouble(const std::string& domain) {
  const std::lock_guard lock(mutex_);
  const auto found = trouble_.find(domain);
  return found == trouble_.end() ? "" : found->second;
}

void Work::use_credentials(const std::string& domain, Credentials credentials) {
  for (const std::string& secret :
       {credentials.secret, credentials.identity_token, credentials.registry_token})
    add_secret(secret);
  at_login_ = true;
  const std::lock_guard lock(mutex_);
  credentials_[domain] = std::move(credentials);
}

void Work::add_secret(const std::string& secret) {
  if (secret.size() < secret_bytes_min) return;
  const std::lock_guard lock(mutex_);
  secrets_.insert(secret);
}

std::string Work::redact(std::string text) {
  const std::lock_guard lock(mutex_);
  // The longest first: one may be part of another.
  std::vector<std::string> secrets(secrets_.begin(), secrets_.end());
  std::sort(secrets.begin(), secrets.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  for (const std::string& secret : secrets) replace_all(text, secret, "[redacted]");
  return text;
}

Error Work::redacted(const Error& error) {
  Error result(error.code(), redact(error.cause()));
  result.set_hint(redact(error.hint()));
  for (const std::string& context : error.context()) result.add_context(redact(context));
  if (error.pos()) result.set_pos(*error.pos());
  return result;
}

void Patience::after(const Transient& failure) {
  ++tried_;
  const bool too_long = failure.retry_after() > retry_after_max;
  if (tried_ > work_.settings.retries || (failure.unreachable() && tried_ > 1) || too_long) {
    std::string cause = failure.cause();
    if (too_long)
      cause += fmt::format(" (it asks to wait {} seconds)", failure.retry_after().count());
    else if (tried_ > 1)
      cause += fmt::format(" (tried {} times)", tried_);
    Error last(ExitCode::outside, cause);
    for (const std::string& context : failure.context()) last.add_context(context);
    throw last.set_hint(failure.hint().empty() ? "try again later" : failure.hint());
  }
  work_.pause(std::max<std::chrono::milliseconds>(delay_, failure.retry_after()));
  delay_ = std::min<std::chrono::milliseconds>(delay_ * 2, delay_max);
}

void Patience::reset() {
  tried_ = 0;
  delay_ = work_.settings.retry_delay;
}

void run_parallel(Work& work, size_t count,
                  const std::function<void(size_t index, Connection& connection)>& task) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      Connection connection(&work.stopped());
      for (size_t index; !work.stopped() && (index = next++) < count;) task(index, connection);
    } catch (...) {
      const std::lock_guard lock(mutex);
      // What comes after the first is most likely its echo.
      if (!failure) failure = std::current_exception();
      work.stop();
    }
  };
  const auto wanted = static_cast<size_t>(std::clamp(work.settings.parallel, 1, parallel_max));
  const size_t threads = std::min(count, wanted);
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < threads; ++i) helpers.emplace_back(run);
    if (threads > 0) run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace slipway::netfetch
