#include "build/layer_pull.h"

#include <fcntl.h>

#include <chrono>

#include "base/error.h"

namespace slipway::build {
namespace {

/// A copy for each caller: who catches an error adds to it.
[[noreturn]] void rethrow_copy(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    throw Error(error);
  }
}

}  // namespace

LayerPull::LayerPull(fetch::Fetcher fetcher, fetch::PullRequest request, const Cancel& cancel)
    : cancel_(cancel), fetcher_(std::move(fetcher)) {
  fetcher_.cancel = &stop_;
  thread_ = std::thread([this, request = std::move(request)] { run(request); });
}

LayerPull::~LayerPull() {
  stop_.request();
  thread_.join();
}

void LayerPull::run(const fetch::PullRequest& request) {
  std::exception_ptr failure;
  try {
    fetcher_.pull(request, [this](const oci::Descriptor& blob, Fd file) {
      const std::lock_guard lock(mutex_);
      files_[blob.digest] = std::move(file);
      changed_.notify_all();
    });
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  failure_ = failure;
  ended_ = true;
  changed_.notify_all();
}

Fd LayerPull::take(const oci::Descriptor& blob) {
  std::unique_lock lock(mutex_);
  for (;;) {
    cancel_.check();
    if (const auto found = files_.find(blob.digest); found != files_.end()) {
      const int copy = fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0);
      if (copy < 0) fail_errno("duplicate a descriptor");
      return Fd(copy);
    }
    if (failure_) rethrow_copy(failure_);
    if (ended_) fail(ExitCode::machine, "the layer {} was not fetched", blob.digest);
    // The build's cancel has no way to wake us here.
    changed_.wait_for(lock, std::chrono::milliseconds(50));
  }
}

void LayerPull::rethrow_failure() {
  const std::lock_guard lock(mutex_);
  if (failure_) rethrow_copy(failure_);
}

}  // namespace slipway::build
