#include "record/answer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "record/wire.h"

namespace slipway::record {

const char* source_name(Source source) {
  switch (source) {
    case Source::upstream:
      return "upstream";
    case Source::passed:
      return "passed";
    case Source::cache:
      return "cache";
    case Source::confirmed:
      return "confirmed";
    case Source::stale:
      return "stale";
    case Source::miss:
      return "miss";
    case Source::failed:
      return "failed";
  }
  return "failed";
}

void Answer::set_head(Head head) {
  const std::lock_guard lock(mutex_);
  SLIPWAY_CHECK(!head_);
  head_ = std::move(head);
  changed_.notify_all();
}

void Answer::set_file(Fd file, uint64_t available) {
  const std::lock_guard lock(mutex_);
  if (!memory_.empty()) {
    SLIPWAY_CHECK(available == memory_.size());
    write_all(file.get(), memory_);
    // The memory is what is bounded.
    std::string().swap(memory_);
  }
  // Under the same number: a reader may be about to use it.
  if (file_ && dup3(file.get(), file_.get(), O_CLOEXEC) < 0) fail_errno("open a download");
  if (!file_) file_ = std::move(file);
  available_ = available;
  changed_.notify_all();
}

void Answer::append(const char* data, size_t size) {
  int file = -1;
  {
    const std::lock_guard lock(mutex_);
    if (!file_) memory_.append(data, size);
    file = file_.get();
  }
  // Nobody reads beyond what is available, and only one writes.
  if (file >= 0) write_all(file, data, size);
  const std::lock_guard lock(mutex_);
  available_ += size;
  changed_.notify_all();
}

void Answer::set_available(uint64_t available) {
  const std::lock_guard lock(mutex_);
  if (available <= available_) return;
  available_ = available;
  changed_.notify_all();
}

void Answer::complete() {
  const std::lock_guard lock(mutex_);
  complete_ = true;
  changed_.notify_all();
}

void Answer::fail(std::string cause) {
  const std::lock_guard lock(mutex_);
  if (complete_ || failed_) return;
  failed_ = true;
  failure_ = std::move(cause);
  changed_.notify_all();
}

void Answer::finish_event(Event& event) const {
  event.sha256 = sha256_;
  event.id = id_;
  event.recorded_s = recorded_s_;
  if (event.error.empty()) event.error = error_;
}

void Answer::settle(const std::string& sha256, uint64_t id, int64_t recorded_s,
                    const std::string& error) {
  std::vector<Pending> pending;
  {
    const std::lock_guard lock(mutex_);
    settled_ = true;
    sha256_ = sha256;
    id_ = id;
    recorded_s_ = recorded_s;
    error_ = error;
    pending = std::move(pending_);
    for (Pending& one : pending) finish_event(one.event);
  }
  for (const Pending& one : pending) one.on_event(one.event);
}

const Answer::Head* Answer::wait_head() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return head_ || failed_; });
  return head_ ? &*head_ : nullptr;
}

std::string Answer::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

size_t Answer::read(uint64_t offset, char* data, size_t size) {
  int file = -1;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return available_ > offset || complete_ || failed_; });
    if (available_ <= offset) {
      if (failed_) throw Closed(failure_);
      return 0;
    }
    size = static_cast<size_t>(std::min<uint64_t>(size, available_ - offset));
    if (!file_) {
      std::memcpy(data, memory_.data() + offset, size);
      return size;
    }
    file = file_.get();
  }
  for (;;) {
    const ssize_t count = pread(file, data, size, static_cast<off_t>(offset));
    if (count > 0) return static_cast<size_t>(count);
    if (count < 0 && errno == EINTR) continue;
    throw Closed("a recorded body cannot be read");
  }
}

std::optional<uint64_t> Answer::total() const {
  const std::lock_guard lock(mutex_);
  if (head_ && head_->length) return head_->length;
  return complete_ ? std::optional(available_) : std::nullopt;
}

void Answer::report(Event event, const OnEvent& on_event) {
  {
    const std::lock_guard lock(mutex_);
    if (!settled_) {
      pending_.push_back({std::move(event), on_event});
      return;
    }
    finish_event(event);
  }
  on_event(event);
}

bool Answer::has_head() const {
  const std::lock_guard lock(mutex_);
  return head_.has_value();
}

uint64_t Answer::available() const {
  const std::lock_guard lock(mutex_);
  return available_;
}

std::string Answer::memory() const {
  const std::lock_guard lock(mutex_);
  return memory_;
}

}  // namespace slipway::record
