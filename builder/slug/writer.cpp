#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "slug/members.h"
#include "slug/slug.h"

namespace slipway::slug {
namespace {

// Hashes the slug's bytes beside the compression, in order: fresh chunks as they come, known ones
// read from the store. A few chunks may wait, so that memory stays bounded.
class Sha256Thread {
 public:
  explicit Sha256Thread(const cache::Store& store) : store_(store), thread_([this] { work(); }) {}
  ~Sha256Thread() {
    close(true);
    if (thread_.joinable()) thread_.join();
  }
  Sha256Thread(const Sha256Thread&) = delete;
  Sha256Thread& operator=(const Sha256Thread&) = delete;

  void add(std::string bytes) { push({std::move(bytes), {}}); }
  void add(const cache::ChunkRef& known) { push({{}, known}); }
  /// Waits for the rest. Throws what the thread threw.
  std::string finish() {
    close(false);
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
    return hasher_.finish_hex();
  }

 private:
  struct Item {
    std::string bytes;
    std::optional<cache::ChunkRef> known;
  };
  static constexpr size_t waiting_max = 3;

  void push(Item item) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return waiting_.size() < waiting_max || failure_ || item.known; });
    if (failure_) std::rethrow_exception(failure_);
    waiting_.push_back(std::move(item));
    lock.unlock();
    news_.notify_one();
  }
  void close(bool drop) {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      if (drop) waiting_.clear();
    }
    news_.notify_one();
  }
  void work() {
    for (;;) {
      Item item;
      {
        std::unique_lock lock(mutex_);
        news_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        item = std::move(waiting_.front());
        waiting_.pop_front();
      }
      room_.notify_one();
      try {
        if (item.known) item.bytes = store_.read_chunk(*item.known);
        hasher_.update(item.bytes.data(), item.bytes.size());
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
        waiting_.clear();
        room_.notify_one();
        return;
      }
    }
  }

  const cache::Store& store_;
  Sha256 hasher_;
  std::mutex mutex_;  // guards waiting_, closed_ and failure_
  std::condition_variable news_, room_;
  std::deque<Item> waiting_;
  bool closed_ = false;
  std::exception_ptr failure_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

cache::Artifact write_slug(cache::Store& store, cache::Lease& lease, const SlugInput& input) {
  SLIPWAY_CHECK(input.tree != nullptr && input.open != nullptr);
  const std::vector<PycCandidate> candidates = find_pyc_candidates(*input.tree, input.source_time);
  const Digest id = slug_key(input, candidates);
  if (auto known = store.find_artifact(id, lease)) return *known;

  const archive::TarSource source = make_members(input, candidates);
  const archive::TarPlan plan = archive::plan_tar(source);
  cache::Artifact artifact;
  artifact.id = id;
  artifact.raw_size_bytes = plan.raw_size;

  cache::PackWriter pack = store.write_pack(lease);
  Sha256Thread sha256(store);
  std::map<Digest, cache::ChunkRef> known;
  archive::CompressOptions options;
  options.cancel = input.cancel;
  options.on_progress = input.on_progress;
  options.known = [&](const Digest& key) {
    const auto ref = store.find_chunk(key);
    if (ref) known[key] = *ref;
    return ref.has_value();
  };
  options.on_chunk = [&](archive::Chunk&& chunk) {
    artifact.chunks.push_back(chunk.key);
    if (chunk.known) {
      const cache::ChunkRef& ref = known.at(chunk.key);
      artifact.size_bytes += ref.compressed_size;
      sha256.add(ref);
      return;
    }
    artifact.size_bytes += chunk.compressed.size();
    pack.put(chunk.key, chunk.compressed.data(), chunk.compressed.size(), chunk.raw_size);
    sha256.add(std::move(chunk.compressed));
  };
  archive::compress_tar(source, plan, options);
  artifact.sha256 = sha256.finish();
  pack.commit();
  store.put_artifact(artifact);
  return artifact;
}

}  // namespace slipway::slug
