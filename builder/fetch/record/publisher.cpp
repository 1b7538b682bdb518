#include "record/publisher.h"

#include "base/error.h"

namespace slipway::record {
namespace {

// Many small answers come at once; one flush and one transaction do for all of them.
constexpr auto gather_time = std::chrono::milliseconds(20);
constexpr uint64_t waiting_bytes_max = 16 << 20;

}  // namespace

Publisher::Publisher(cache::Downloads& downloads)
    : downloads_(downloads), thread_([this] { serve(); }) {}
Publisher::~Publisher() {
  join();
}

void Publisher::publish(cache::Finished finished, std::shared_ptr<Answer> answer,
                        std::function<void()> on_done) {
  const std::lock_guard lock(mutex_);
  waiting_bytes_ += finished.body.size();
  items_.push_back({std::move(finished), std::move(answer), std::move(on_done)});
  changed_.notify_all();
}

void Publisher::confirm(uint64_t id) {
  const std::lock_guard lock(mutex_);
  confirmed_.push_back(id);
  changed_.notify_all();
}

void Publisher::wait_for_room() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_bytes_ < waiting_bytes_max; });
}

void Publisher::settle() {
  std::unique_lock lock(mutex_);
  ++settling_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return items_.empty() && confirmed_.empty() && !busy_; });
  --settling_;
}

void Publisher::join() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Publisher::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !items_.empty() || !confirmed_.empty() || ending_; });
    if (items_.empty() && confirmed_.empty()) return;
    changed_.wait_for(lock, gather_time, [&] { return ending_ || settling_ > 0; });
    std::vector<Item> items = std::move(items_);
    const std::vector<uint64_t> confirmed = std::move(confirmed_);
    items_.clear();
    confirmed_.clear();
    busy_ = true;
    lock.unlock();
    work(items, confirmed);
    uint64_t written = 0;
    for (const Item& item : items) written += item.finished.body.size();
    items.clear();
    lock.lock();
    waiting_bytes_ -= written;
    busy_ = false;
    changed_.notify_all();
  }
}

void Publisher::work(std::vector<Item>& items, const std::vector<uint64_t>& confirmed) {
  std::string problem;
  std::vector<uint64_t> ids;
  try {
    if (!confirmed.empty()) downloads_.confirm(confirmed);
    std::vector<cache::Finished> batch;
    for (Item& item : items) batch.push_back(std::move(item.finished));
    const auto hand_back = [&] {
      for (size_t i = 0; i < items.size(); ++i) items[i].finished = std::move(batch[i]);
    };
    try {
      if (!batch.empty()) ids = downloads_.publish(batch);
    } catch (...) {
      hand_back();
      throw;
    }
    hand_back();
  } catch (const std::exception& error) {
    // Clients have their answers; who wants them recorded is told with the event.
    problem = fmt::format("not recorded: {}", error.what());
  }
  const int64_t now = time(nullptr);
  for (size_t i = 0; i < items.size(); ++i) {
    const cache::Download& download = items[i].finished.download;
    items[i].answer->settle(download.sha256, i < ids.size() ? ids[i] : 0, now, problem);
    items[i].on_done();
  }
}

}  // namespace slipway::record
